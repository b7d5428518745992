"""CumulativeNorm against a loop over the frames."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import speechconv as sc
from speechconv import cumulative
from tests.law import stream


def slow(norm: sc.CumulativeNorm, x: Tensor) -> Tensor:
    """Each frame by the mean and variance of all frames up to it, computed anew."""
    frames = []
    for t in range(x.shape[1]):
        past = x[:, : t + 1]
        mean, variance = past.mean(1), past.var(1, correction=0)
        frames.append((x[:, t] - mean) / (variance + norm.eps).sqrt() * norm.weight + norm.bias)
    return torch.stack(frames, 1)


def make(channels: int = 3) -> sc.CumulativeNorm:
    norm = sc.CumulativeNorm(channels, eps=1e-3).double()
    for parameter in norm.parameters():
        parameter.data.normal_()
    return norm


def test_it_is_the_norm_of_all_frames_so_far() -> None:
    norm, x = make(), torch.randn(2, 60, 3).double()
    torch.testing.assert_close(norm(x), slow(norm, x), rtol=0, atol=1e-12)


def test_blocks_are_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    norm, x = make(), torch.randn(2, 60, 3).double()
    whole = norm(x)
    monkeypatch.setattr(cumulative, "BLOCK", 7)
    torch.testing.assert_close(norm(x), whole, rtol=0, atol=1e-12)


def test_a_large_offset_costs_few_digits() -> None:
    """A raw sum of squares would lose twelve of sixteen digits to an offset of 10^6."""
    norm, x = make(), torch.randn(1, 500, 3).double()
    torch.testing.assert_close(norm(x + 1e6), norm(x), rtol=0, atol=1e-8)


def test_gradients_are_those_of_the_loop() -> None:
    norm = make()
    x = torch.randn(1, 20, 3).double().requires_grad_()
    probe = torch.randn(1, 20, 3).double()
    own = torch.autograd.grad((norm(x) * probe).sum(), [x, *norm.parameters()])
    expected = torch.autograd.grad((slow(norm, x) * probe).sum(), [x, *norm.parameters()])
    for a, b in zip(own, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


def test_unreal_frames_do_not_count() -> None:
    """Behind a conv that looks ahead, a stream begins with frames that are none and ends with others."""
    net = sc.Sequential(sc.Conv1d(2, 3, 9, padding=(2, 3), stride=2), make()).double().eval()
    x = torch.randn(41, 2).double()
    with torch.no_grad():
        expected = net(x[None])[0]
    for sizes in ([41], [1] * 41, [5, 0, 36]):
        torch.testing.assert_close(stream(sc.Session(net), x, sizes), expected, rtol=0, atol=1e-12)


def test_statistics_stay_in_float64_in_a_float32_stream() -> None:
    core = sc.Streamer(sc.CumulativeNorm(2))
    assert [m.dtype for m in core.state_spec] == [torch.float64] * 3
    assert {m.dtype for m in core.init(1).memories} == {torch.float64}
    _, _, _, state = core.step(torch.randn(1, 5, 2), core.init(1))
    assert {m.dtype for m in state.memories} == {torch.float64}


def test_eps_must_be_positive() -> None:
    with pytest.raises(ValueError, match=r"eps \(=0\) must be > 0"):
        sc.CumulativeNorm(2, eps=0)


def test_it_remembers_across_the_tiles_of_a_layer_before_it() -> None:
    """An STFT runs tile by tile with the pointwise layers behind it; this one is none, and tiles would restart it."""
    stft = sc.ConvSTFT(400, hop_length=160, output="magnitude")
    net = sc.Sequential(stft, sc.Log(floor=1e-3), sc.CumulativeNorm(201)).double().eval()
    x = torch.randn(1, 480_000).double()
    expected = net(x)
    with torch.no_grad():
        assert stft.tile is not None
        assert expected.shape[1] > 3 * stft.tile
        torch.testing.assert_close(net(x), expected.detach(), rtol=0, atol=1e-10)
