"""A waveform of at least so many samples."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import speechconv as sc


@pytest.mark.parametrize("samples", [0, 1, 9, 10, 13])
def test_frames_of_a_short_signal_are_those_of_the_filled_one(samples: int) -> None:
    stft = sc.ConvSTFT(4, hop_length=2, pad_mode="reflect", drop_last=True, output="power")
    net = sc.Sequential(sc.MinimumLength(10), stft)
    x = torch.randn(1, samples)
    filled = torch.cat((x, torch.zeros(1, max(0, 10 - samples))), 1) if samples else x
    assert torch.equal(net(x), stft(filled))
    assert net(x).shape[1] == net.num_frames(samples) == stft.geometry.num_frames(filled.shape[1])


@pytest.mark.parametrize("pad_mode", ["reflect", "constant"])
def test_rows_padded_with_nan_stand_alone(pad_mode: Any) -> None:
    """The preemphasis before it leaves something in the first sample behind a row, which must not be lengthened."""
    stft = sc.ConvSTFT(4, hop_length=2, pad_mode=pad_mode, output="power")
    before = [] if pad_mode == "reflect" else [sc.Preemphasis()]  # what reflects stands first, but for this layer
    net = sc.Sequential(*before, sc.MinimumLength(10), stft).double()
    lengths = [13, 3, 0, 10]
    batch = torch.full((4, 20), torch.nan, dtype=torch.float64)
    for row, n in zip(batch, lengths, strict=True):
        row[:n] = torch.randn(n)
    y, frames = net(batch, torch.tensor(lengths))
    for i, n in enumerate(lengths):
        alone = net(batch[i : i + 1, :n])[0]
        assert frames[i] == len(alone) == net.num_frames(n)
        assert torch.allclose(y[i, : frames[i]], alone, rtol=0, atol=1e-12)
        assert not y[i, frames[i] :].any()


def test_live_it_says_what_to_use_instead() -> None:
    with pytest.raises(sc.NotStreamable, match="MinimumLength fills up to 10 samples") as caught:
        sc.Session(sc.Sequential(sc.MinimumLength(10), sc.ConvSTFT(4, hop_length=2)))
    assert caught.value.alternatives[0] == "the pipeline without this stage"


@pytest.mark.parametrize("build", [lambda x: sc.Residual(x), lambda x: sc.Parallel(x, sc.Affine())])
def test_it_is_refused_in_a_branch(build: object) -> None:
    assert callable(build)
    with pytest.raises(ValueError, match="MinimumLength changes the length of its input, so it cannot stand in a"):
        build(sc.MinimumLength(10))
