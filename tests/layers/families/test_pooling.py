"""MaxPool1d and AvgPool1d: torch's are the judges for the pads that they can have, a loop over windows for others."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import speechconv as sc
from tests.law import stream
from tests.layers.families.judges import EXACT, off

WINDOWS = [(2, None), (3, 1), (3, 2), (5, 3), (2, 5), (1, 1)]
each_window = pytest.mark.parametrize(("kernel_size", "stride"), WINDOWS)
each_kind = pytest.mark.parametrize("kind", ["max", "average", "average of real frames"])


def pools(kind: str, kernel_size: int, stride: int | None, pads: tuple[int, int]) -> tuple[sc.Layer, nn.Module]:
    """Ours and torch's."""
    if kind == "max":
        theirs = nn.MaxPool1d(kernel_size, stride, pads[0])
        return sc.MaxPool1d(kernel_size, stride=stride, padding=pads), theirs
    counts = kind == "average"
    theirs = nn.AvgPool1d(kernel_size, *([stride] if stride else []), padding=pads[0], count_include_pad=counts)
    return sc.AvgPool1d(kernel_size, stride=stride, padding=pads, count_include_pad=counts), theirs


def by_windows(kind: str, x: Tensor, size: int, stride: int, pads: tuple[int, int]) -> Tensor:
    """(frames, channels), window by window."""
    answers = []
    for start in range(-pads[0], len(x) + pads[1] - size + 1, stride):
        real = x[max(0, start) : start + size]
        total = {"average": size}.get(kind, len(real))
        answers.append(real.amax(0) if kind == "max" else real.sum(0) / total)
    return torch.stack(answers)


@each_kind
@each_window
def test_it_is_torchs_in_value_and_gradient(kernel_size: int, stride: int | None, kind: str) -> None:
    """All values below 0, so that a pad of 0 would win every maximum."""
    pads = (kernel_size // 2, kernel_size // 2) if 2 * (kernel_size // 2) < kernel_size else (0, 0)
    ours, theirs = pools(kind, kernel_size, stride, pads)
    for frames in (23, 24, 5):
        x = -torch.rand(2, frames, 3, dtype=torch.float64) - 1
        x, twin = x.clone().requires_grad_(), x.clone().requires_grad_()
        y, expected = ours(x), theirs(twin.transpose(1, 2)).transpose(1, 2)
        assert off(y, expected) <= EXACT
        probe = torch.randn_like(y)
        (y * probe).sum().backward()
        (expected * probe).sum().backward()
        assert x.grad is not None
        assert twin.grad is not None
        assert off(x.grad, twin.grad) <= EXACT


@each_kind
@each_window
@pytest.mark.parametrize("ahead", [0, 1, 2])
def test_any_pads_are_those_of_the_windows_offline_and_live(
    kernel_size: int, stride: int | None, ahead: int, kind: str
) -> None:
    if ahead >= kernel_size:
        ahead = kernel_size - 1
    pads = (kernel_size - 1 - ahead, ahead)
    ours, _ = pools(kind, kernel_size, stride, pads)
    for frames in (1, 2, 9, 20):
        x = -torch.rand(frames, 3, dtype=torch.float64) - 1
        expected = by_windows(kind, x, kernel_size, stride or kernel_size, pads)
        assert off(ours(x[None])[0], expected) <= EXACT
        session = sc.Session(ours, channels=3, dtype=torch.float64)
        assert off(stream(session, x, [1, 0, frames - 1]), expected) <= EXACT


@each_kind
def test_it_keeps_the_law_on_any_number_of_channels(kind: str) -> None:
    for size, stride, pads in ((3, 2, (1, 1)), (4, 1, (0, 3)), (2, 5, (1, 0)), (5, 3, (2, 0))):
        ours, _ = pools(kind, size, stride, pads)
        assert sc.check_streaming(ours, channels=2).worst <= EXACT


@each_kind
def test_frames_past_the_end_of_a_row_win_nothing_and_leave_nothing_infinite(kind: str) -> None:
    """A norm behind the pooling would make NaN of an infinite frame, and weight gradients of that."""
    pool, _ = pools(kind, 3, 1, (1, 1))
    net = sc.Sequential(pool, sc.LayerNorm(2), sc.Conv1d(2, 2, 3, padding="same")).double()
    x = -torch.rand(2, 12, 2, dtype=torch.float64) - 1
    x[1, 4:] = torch.nan
    y, _ = net(x, torch.tensor([12, 4]))
    assert off(y[1, :4], net(x[1:, :4])[0]) <= EXACT
    y.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_a_maximum_that_is_minus_infinity_stays_so() -> None:
    x = torch.tensor([[[-torch.inf], [-torch.inf], [2.0]]])
    assert sc.MaxPool1d(2, stride=1, padding="causal")(x).flatten().tolist() == [-torch.inf, -torch.inf, 2.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_size": 0}, r"^kernel_size \(=0\) must be an integer >= 1\.$"),
        ({"kernel_size": 3, "stride": 0}, r"^stride \(=0\) must be an integer >= 1\.$"),
        ({"kernel_size": 3, "padding": (2, 1)}, r"^padding \(=\(2, 1\)\) must be a pair of integers"),
    ],
)
def test_arguments_outside_their_range_are_refused(options: dict[str, Any], message: str) -> None:
    for kind in (sc.MaxPool1d, sc.AvgPool1d):
        with pytest.raises(ValueError, match=message):
            kind(**options)
    with pytest.raises(ValueError, match=r"^count_include_pad \(=1\) must be True or False"):
        sc.AvgPool1d(3, count_include_pad=1)  # pyright: ignore[reportArgumentType] - refused
