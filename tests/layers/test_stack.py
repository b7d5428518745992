"""Frame stacking against a reshape."""

from __future__ import annotations

import pytest
import torch

import speechconv as sc


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("count", [0, 1, 2, 5, 6])
def test_n_frames_stand_in_one_and_a_rest_is_dropped(n: int, count: int) -> None:
    x = torch.randn(2, count, 4)
    y = sc.StackFrames(n)(x)
    assert y.shape == (2, count // n, 4 * n)
    for t in range(count // n):
        assert torch.equal(y[:, t], torch.cat([x[:, n * t + i] for i in range(n)], 1))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_stacking_keeps_the_law(n: int) -> None:
    net = sc.Sequential(sc.Conv1d(2, 3, 5, padding="same"), sc.StackFrames(n), sc.Conv1d(3 * n, 2, 3, padding="same"))
    assert sc.check_streaming(net).worst <= 1e-12


def test_no_frames_in_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"n \(=0\) must be an integer >= 1"):
        sc.StackFrames(0)
