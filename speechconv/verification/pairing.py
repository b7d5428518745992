"""How the pairs of a bank lie in its tensor, by evidence: which rows are each other's quadrature?

    r(a, b) = min over signs of E(f < 0) / E(f > 0) of a +- j b        0: analytic pair, 1: none
    d(a, b) = 1 - cos(|A|^2, |B|^2)                                    0: equal magnitude responses

A layout is taken when half of its pairs have r below ANALYTIC. Pairs that are no longer in quadrature, such as a filter
and its time reversal, still have equal magnitudes: then d inside pairs must be far below d between neighbours.
"""

from __future__ import annotations

import torch
from torch import Tensor

from speechconv.verification.filter_bank import Layout

ANALYTIC = 0.5
ALIKE, APART = 0.05, 4.0
"""Pairs whose magnitude responses differ by less than ALIKE, and APART times less than those of neighbours."""


def detect_layout(rows: Tensor) -> Layout:
    """The layout of (rows, taps): "stacked", "interleaved" or "real".

    >>> from speechconv import ConvSTFT
    >>> kernel = ConvSTFT(64).kernel
    >>> detect_layout(kernel), detect_layout(kernel[:33])
    ('stacked', 'real')
    """
    if len(rows) % 2 or len(rows) < 4:
        return "real"
    ways: dict[Layout, tuple[Tensor, Tensor]] = {
        "stacked": split(rows, "stacked"),
        "interleaved": (rows[::2], rows[1::2]),
    }
    impure: dict[Layout, float] = {layout: float(negative_share(*pairs).median()) for layout, pairs in ways.items()}
    best = min(impure, key=impure.__getitem__)
    if impure[best] < ANALYTIC:
        return best
    for layout, (a, b) in ways.items():
        inside, between = float(_distance(a, b).median()), float(_distance(a[1:], b[:-1]).median())
        if inside < ALIKE and APART * inside < between:
            return layout
    return "real"


def halves(parts: list[Tensor], name: str, layout: Layout | None) -> tuple[Tensor, Tensor | None, Layout]:
    """Real parts, imaginary parts if there are any, and their layout.

    Args:
        parts: one tensor of (rows, taps), or two of (filters, taps); or a complex one of (filters, taps), which counts
            as stacked.
        name: of the tensors, for messages.
        layout: as it is known; None: by evidence.

    Raises:
        ValueError: a layout that does not fit the tensors.
    """
    if len(parts) == 2 and layout in (None, "separate"):
        if any(part.is_complex() for part in parts):
            raise ValueError(f"of the two tensors {name} one is complex, which holds pairs already; name one of them.")
        if parts[0].shape != parts[1].shape:
            shapes = " and ".join(str(tuple(part.shape)) for part in parts)
            raise ValueError(f"the two tensors {name} must have one shape, got {shapes}.")
        return parts[0], parts[1], "separate"
    if len(parts) != 1 or layout == "separate":
        raise ValueError(
            f"layout {layout or 'separate'} does not fit {len(parts)} tensors ({name}); separate takes two."
        )
    rows = parts[0]
    if rows.is_complex():
        if layout not in (None, "stacked"):
            raise ValueError(f"{name} is complex, and its pairs are no matter of layout (={layout!r}); leave it out.")
        return rows.real.contiguous(), rows.imag.contiguous(), "stacked"
    layout = layout or detect_layout(rows)
    if layout == "real":
        return rows, None, layout
    if len(rows) % 2:
        raise ValueError(
            f"{name} has {len(rows)} filters, an odd number, which cannot lie in pairs; try --layout real."
        )
    return *split(rows, layout), layout


def split(rows: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
    """(real parts, imaginary parts) of rows that lie stacked or interleaved."""
    if layout == "interleaved":
        return rows[::2], rows[1::2]
    half = len(rows) // 2
    return rows[:half], rows[half:]


def negative_share(a: Tensor, b: Tensor) -> Tensor:
    """r of each pair: energy at the weaker sign of frequency over that at the stronger; 1 for silent pairs."""
    energy = torch.fft.fft(torch.complex(a, b)).abs().square()
    half = (energy.shape[1] - 1) // 2
    positive, negative = energy[:, 1 : half + 1].sum(1), energy[:, -half:].sum(1)
    weak, strong = torch.minimum(positive, negative), torch.maximum(positive, negative)
    return torch.where(strong > 0, weak / strong, 1.0)


def _distance(a: Tensor, b: Tensor) -> Tensor:
    """d of each pair."""
    a, b = (torch.fft.rfft(x).abs().square() for x in (a, b))
    return 1 - torch.nn.functional.cosine_similarity(a, b)
