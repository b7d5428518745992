"""How far did the filters go from the reference z0? For each filter, and in total.

    change     |z - z0| / |z0|
    cosine     |<z, z0>| / (|z| |z0|), blind to gain and phase
    gain       |z| / |z0|
    rotation   arg <z0, z>
    angle      largest principal angle of span{a, b} and span{a0, b0}
    jsd        sqrt((KL(p || m) + KL(q || m)) / 2), p and q the power responses of sum 1, m their mean, in bits

Source: Anderson, Kinnunen and Harte 2023, "Learnable frontends that do not learn" (arXiv 2302.10014), for the last.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from speechconv.verification.answers import DriftAnswer
from speechconv.verification.filter_bank import FilterBank
from speechconv.verification.spectra import grid_size


def drift(bank: FilterBank, reference: FilterBank, words: str) -> DriftAnswer:
    """The distance of each filter from its counterpart; the shorter kernels get zeros on both sides.

    A filter of zeros has neither cosine, rotation, angle nor response: NaN.

    Args:
        bank: filters as they are.
        reference: as many, pairs if those are pairs.
        words: what the reference is, for the reader.

    Raises:
        ValueError: another number of filters, or pairs against real-only filters.

    >>> was = FilterBank("f", torch.eye(2, 8).double(), None, "real", 16000)
    >>> now = FilterBank("f", 2 * torch.eye(2, 8).double(), None, "real", 16000)
    >>> drift(now, was, "the identity").gain
    [2.0, 2.0]
    """
    (real, imag), (real0, imag0) = aligned(bank, reference)
    z, z0 = (a if b is None else torch.complex(a, b) for a, b in ((real, imag), (real0, imag0)))
    product = (z0.conj() * z).sum(1)
    size, size0 = z.norm(dim=1), z0.norm(dim=1)
    dead = (size == 0) | (size0 == 0)  # neither direction nor response
    return DriftAnswer(
        reference=words,
        total=float((z - z0).norm() / z0.norm()),
        change=((z - z0).norm(dim=1) / size0).tolist(),
        cosine=(product.abs() / (size * size0)).tolist(),
        gain=(size / size0).tolist(),
        rotation=product.angle().masked_fill(dead, math.nan).tolist(),
        angle=_angle(_plane(real, imag), _plane(real0, imag0)).masked_fill(dead, math.nan).tolist(),
        jsd=_jensen_shannon(z, z0).tolist(),
    )


Halves = tuple[Tensor, Tensor | None]


def aligned(bank: FilterBank, reference: FilterBank) -> tuple[Halves, Halves]:
    """Both banks with kernels of one length, the shorter ones centred."""
    if len(bank.real) != len(reference.real):
        raise ValueError(
            f"expected a reference with {len(bank.real)} filters, as {bank.name}; {reference.name} has "
            f"{len(reference.real)}; name an STFT of as many bins."
        )
    if (bank.imag is None) != (reference.imag is None):
        which = "pairs" if reference.imag is None else "real-only filters"
        raise ValueError(f"{bank.name} holds {which}, the reference {reference.name} does not; give one of its kind.")
    taps = max(bank.real.shape[1], reference.real.shape[1])
    return _centred(bank, taps), _centred(reference, taps)


def _centred(bank: FilterBank, taps: int) -> Halves:
    missing = taps - bank.real.shape[1]
    sides = (missing // 2, missing - missing // 2)
    return F.pad(bank.real, sides), None if bank.imag is None else F.pad(bank.imag, sides)


def _plane(real: Tensor, imag: Tensor | None) -> Tensor:
    """An orthonormal basis of each span{a, b}: (filters, taps, 2); a direction that is not there is a column of 0."""
    halves = real[:, :, None] if imag is None else torch.stack((real, imag), 2)
    basis, size, _ = torch.linalg.svd(halves, full_matrices=False)
    there = size > 1e-9 * size[:, :1]
    return basis * there[:, None]


def _angle(plane: Tensor, plane0: Tensor) -> Tensor:
    """Of planes of unlike dimension, the smaller is measured against the larger."""
    sines = [(q - p @ (p.mT @ q)) for p, q in ((plane, plane0), (plane0, plane))]
    sine = torch.minimum(*(torch.linalg.matrix_norm(s, 2) for s in sines)).clamp(max=1)
    return sine.asin()


def _jensen_shannon(z: Tensor, z0: Tensor) -> Tensor:
    p, q = (torch.fft.fft(x, grid_size(x.shape[1])).abs().square() for x in (z, z0))
    p, q = p / p.sum(1, keepdim=True), q / q.sum(1, keepdim=True)
    m = (p + q) / 2
    kl = [(torch.special.xlogy(x, x) - torch.special.xlogy(x, m)).sum(1) for x in (p, q)]
    return ((kl[0] + kl[1]) / 2 / torch.log(torch.tensor(2.0))).clamp(min=0).sqrt()
