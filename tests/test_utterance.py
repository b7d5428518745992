"""Moments against numpy's covariance; freezing behind other layers."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

import speechconv as sc
from speechconv import moments as moments_module
from speechconv.moments import Moments, Window, moments
from speechconv.utterance import freeze_on, frozen_twin, layers_of_policy


def judge(x: np.ndarray, window: Window) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the windows of one row, by numpy."""
    windows = np.stack([x[a : a + window.size] for a in range(0, len(x) - window.size + 1, window.stride)])
    return windows.mean(0), np.atleast_2d(np.cov(windows, rowvar=False, bias=True))


@pytest.mark.parametrize("window", [Window(), Window(10, 5), Window(3, 7)])
@pytest.mark.parametrize("block", [1 << 16, 11])
def test_moments_are_numpys(window: Window, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of ragged rows that are padded with NaN, in one block and in several."""
    monkeypatch.setattr(moments_module, "BLOCK", block)
    x = torch.randn(3, 300).double() + 50
    lengths = torch.tensor([300, 57, 0])
    for row, length in zip(x, lengths, strict=True):
        row[length:] = torch.nan
    found = moments(x, window, lengths)
    for row in (0, 1):
        mean, covariance = judge(x[row, : lengths[row]].numpy(), window)
        np.testing.assert_allclose(found.mean[row], mean, rtol=0, atol=1e-12)
        np.testing.assert_allclose(found.covariance[row], covariance, rtol=0, atol=1e-12)
    assert found.count.tolist() == [*(len(range(0, int(n) - window.size + 1, window.stride)) for n in lengths)]
    assert not found.mean[2].any()
    assert not found.covariance[2].any()


def test_an_offset_costs_no_digits() -> None:
    x = torch.randn(1, 5000).double()
    shifted, plain = moments(x + 1e6, Window(4, 2)), moments(x, Window(4, 2))
    torch.testing.assert_close(shifted.covariance, plain.covariance, rtol=0, atol=1e-8)


def test_merged_moments_are_those_of_all_windows() -> None:
    a, b = torch.randn(1, 40).double(), torch.randn(1, 90).double() + 3
    window = Window(1, 1)
    both, merged = moments(torch.cat((a, b), 1), window), moments(a, window).merge(moments(b, window))
    for name in ("count", "mean", "scatter"):
        torch.testing.assert_close(getattr(merged, name), getattr(both, name), rtol=0, atol=1e-11)


@pytest.mark.parametrize("chunk", [1, 3, 10, 1000])
@pytest.mark.parametrize("kernel", [(10, 5), (3, 7)])
def test_a_layer_is_frozen_on_what_reaches_it_in_any_chunks(chunk: int, kernel: tuple[int, int]) -> None:
    """Behind a normalisation that is frozen first, on two sounds of which none is a whole number of windows."""
    encoder = sc.FeatureEncoder(channels=4, kernel_sizes=kernel[:1], strides=kernel[1:])
    net = sc.Sequential(sc.Normalize(), encoder).double()
    sounds = [torch.randn(n).double() * 3 + 2 for n in (203, 118)]
    freeze_on(net, layers_of_policy(net, "utterance"), [partial(sound.split, chunk) for sound in sounds])

    samples = torch.cat(sounds)
    normalised = [(sound - samples.mean()) / (samples.var(correction=0) + 1e-7).sqrt() for sound in sounds]
    conv = encoder.blocks[0].conv.weight
    kept = torch.cat([torch.conv1d(sound[None, None], conv, stride=kernel[1])[0] for sound in normalised], 1)
    torch.testing.assert_close(encoder.frozen_mean, kept.mean(1), rtol=0, atol=1e-12)
    torch.testing.assert_close(encoder.frozen_var, kept.var(1, correction=0), rtol=0, atol=1e-12)


def test_layers_inside_compositions_are_frozen_on_their_own_input() -> None:
    """In a branch, behind a stage of that branch; the other branch and what follows have no part in it."""
    encoder = sc.FeatureEncoder(channels=4)
    branch = sc.Sequential(sc.Normalize(), encoder)
    stft = sc.ConvSTFT(400, hop_length=320, center=False, output="power")
    net = sc.Sequential(sc.Parallel(stft, branch, join="cat"), nn.Linear(205, 3)).double()
    x = torch.randn(1, 5000).double() + 1
    with torch.no_grad():
        expected = net(x)
        twin = frozen_twin(net)
        freeze_on(twin, layers_of_policy(twin, "utterance"), [partial(x[0].split, 999)])
        torch.testing.assert_close(twin(x), expected, rtol=0, atol=1e-12)
    assert layers_of_policy(twin, "utterance") == []
    assert len(layers_of_policy(net, "utterance")) == 2


def test_a_twin_shares_the_weights_and_leaves_the_original_as_it_was() -> None:
    net = sc.Sequential(sc.Normalize(), sc.FeatureEncoder(channels=4))
    twin = frozen_twin(net)
    freeze_on(twin, layers_of_policy(twin, "utterance"), [])
    assert {p.data_ptr() for p in twin.parameters()} == {p.data_ptr() for p in net.parameters()}
    assert [layer.policy for layer in layers_of_policy(net, "utterance", "frozen")] == ["utterance", "utterance"]
    assert net.state_dict().keys() < twin.state_dict().keys()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_frozen_statistics_have_the_networks_type(dtype: torch.dtype) -> None:
    net = sc.Sequential(sc.Normalize(), sc.FeatureEncoder(channels=4)).to(dtype)
    freeze_on(net, layers_of_policy(net, "utterance"), [lambda: [torch.randn(4000)]])
    statistics = {key: tensor for key, tensor in net.state_dict().items() if "frozen" in key}
    assert len(statistics) == 4
    held = torch.float32 if dtype == torch.bfloat16 else dtype  # bfloat16 is too coarse for a mean
    assert {tensor.dtype for tensor in statistics.values()} == {held}
    assert {tensor.dtype for tensor in net.float().state_dict().values()} == {torch.float32}


def test_calibrating_pools_the_valid_samples_of_all_rows() -> None:
    pipe = sc.Pipeline([sc.Normalize(), sc.FeatureEncoder(channels=4)], sample_rate=16000)
    pipe.double()
    x = torch.randn(2, 3000).double() + 2
    x[1, 1000:] = torch.nan
    assert pipe.calibrate(x, torch.tensor([3000, 1000])) is pipe
    samples = torch.cat((x[0], x[1, :1000]))
    torch.testing.assert_close(pipe[0].get_buffer("frozen_mean"), samples.mean(), rtol=0, atol=1e-12)
    torch.testing.assert_close(pipe[0].get_buffer("frozen_var"), samples.var(correction=0), rtol=0, atol=1e-12)
    other = pipe.calibrate(torch.randn(1, 3000).double())
    assert abs(float(other[0].get_buffer("frozen_mean"))) < 0.2  # calibrated anew, not on top


def test_calibrating_on_too_little_audio_is_refused() -> None:
    pipe = sc.Pipeline([sc.FeatureEncoder(channels=4)], sample_rate=16000)
    with pytest.raises(ValueError, match=r"at least 400 samples, got \[399, 399\]"):
        pipe.calibrate(torch.randn(2, 399))


def test_moments_of_nothing_are_zero() -> None:
    found = moments(torch.zeros(2, 3), Window(10, 5))
    assert isinstance(found, Moments)
    assert not found.count.any()
    assert not found.covariance.any()


def test_audio_that_cannot_give_statistics_is_refused() -> None:
    pipe = sc.Pipeline([sc.Normalize(), sc.FeatureEncoder(channels=4)], sample_rate=16000)
    x = torch.randn(2, 4000)
    with pytest.raises(ValueError, match=r"must lie in 0 \.\.\. 4000"):
        pipe.calibrate(x, torch.tensor([4000, 9999]))
    with pytest.raises(ValueError, match=r"lengths must have shape \(2,\)"):
        pipe.calibrate(x, torch.tensor([4000]))
    x[1, 3000] = torch.nan
    with pytest.raises(ValueError, match="row 1 of the audio holds NaN"):
        pipe.calibrate(x)
    pipe.calibrate(x, torch.tensor([4000, 3000]))


def test_statistics_that_were_frozen_in_inference_mode_can_be_trained_on() -> None:
    pipe = sc.Pipeline([sc.Normalize(), sc.FeatureEncoder(channels=4)], sample_rate=16000)
    with torch.inference_mode():
        pipe.calibrate(torch.randn(1, 4000))
    pipe(torch.randn(1, 4000)).sum().backward()


def test_a_stage_without_weights_takes_the_type_of_the_audio() -> None:
    x = torch.randn(1, 4000).double()
    pipe = sc.Pipeline([sc.Normalize()], sample_rate=16000).calibrate(x)
    torch.testing.assert_close(pipe(x).std(correction=0), torch.tensor(1.0).double())


def test_frozen_in_bfloat16_it_is_as_exact_as_by_utterance() -> None:
    """An offset of five deviations: a mean rounded to bfloat16 would be 2 % of a deviation off."""
    x = (0.1 * torch.randn(1, 20000) + 0.5).bfloat16()
    wide = x.double()
    expected = (wide - wide.mean()) / wide.std(correction=0)
    pipe = sc.Pipeline([sc.Normalize()], sample_rate=16000).calibrate(x.float()).bfloat16()
    y = pipe(x)
    assert y.dtype == torch.bfloat16
    assert (y.double() - expected).norm() <= 0.003 * expected.norm()  # bfloat16's rounding of the result
