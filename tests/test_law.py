"""The law: offline and live give the same frames for any chunks, each as early as its input permits, none revised.

Tolerances are DESIGN's: bitwise where every sum is exact, else 1e-12 (float64) and 1e-5 (float32) of the largest value.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import torch
from hypothesis import assume, given, target
from hypothesis import strategies as st

import speechconv as sc
from speechconv import cumulative
from speechconv.layers.families import squeeze_excitation
from tests.law import (
    assert_close,
    assert_gradients_through_a_stream,
    assert_rows_stand_alone,
    cuts,
    largest,
    nested_frames,
    ragged_lengths,
    signal,
    stream,
)
from tests.layers.families.layers import FAMILY_LAYERS, UTTERANCE_FAMILIES
from tests.stacks import LARGEST_EXACT, Kind, spectral_stack, stack
from tests.traffic import assert_random_traffic
from tests.weights import fill

EXACT, SMOOTH = Kind(exact=True), Kind(exact=False)
SHORT = 400  # receptive fields above it make no case that smaller ones do not make, only slow ones


def draw_length(data: st.DataObject, net: sc.Layer) -> int:
    assume(net.geometry.receptive_field <= SHORT)
    return data.draw(st.integers(0, 3 * net.geometry.receptive_field), label="samples")


@given(st.data(), stack(EXACT))
def test_live_equals_offline_bit_by_bit_where_sums_are_exact(data: st.DataObject, net: sc.Sequential) -> None:
    x = signal(net, draw_length(data, net), exact=True)
    with torch.no_grad():
        expected = net(x[None])[0]
    assume(largest(expected) < LARGEST_EXACT)
    assert torch.equal(stream(sc.Session(net), x, data.draw(cuts(len(x)))), expected)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("nets", [stack(SMOOTH), spectral_stack(SMOOTH)], ids=["stacks", "behind an STFT"])
@given(data=st.data())
def test_live_equals_offline_within_rounding(
    nets: st.SearchStrategy[sc.Sequential], dtype: torch.dtype, tolerance: float, data: st.DataObject
) -> None:
    net = data.draw(nets).to(dtype)
    x = signal(net, draw_length(data, net), exact=False).to(dtype)
    with torch.no_grad():
        expected = net(x[None])[0]
    worst = assert_close(stream(sc.Session(net), x, data.draw(cuts(len(x)))), expected, tolerance)
    target(worst, label="largest relative difference")  # Hypothesis searches for the worst; statistics show it


@given(st.data(), st.one_of(stack(SMOOTH), spectral_stack(SMOOTH)))
def test_one_block_a_step_is_bitwise_independent_of_chunking(data: st.DataObject, net: sc.Sequential) -> None:
    net = net.float()
    x = signal(net, draw_length(data, net), exact=False).float()
    whole = stream(sc.Session(net, max_blocks=1), x, [len(x)])
    assert torch.equal(stream(sc.Session(net, max_blocks=1), x, data.draw(cuts(len(x)))), whole)


@given(st.one_of(stack(EXACT), spectral_stack(EXACT)))
def test_every_frame_is_emitted_with_the_sample_that_completes_it(net: sc.Sequential) -> None:
    g = net.geometry
    assume(g.receptive_field <= SHORT)
    x = signal(net, g.emitted_at(3) + 1, exact=True)
    due = [g.emitted_at(frame) for frame in range(5)]
    session = sc.Session(net)
    for count, sample in enumerate(x.split(1), start=1):
        session.push(sample)
        assert session.num_frames == sum(at <= count for at in due)


@given(st.data(), st.one_of(stack(EXACT), spectral_stack(EXACT)))
def test_emitted_frames_do_not_depend_on_anything_later(data: st.DataObject, net: sc.Sequential) -> None:
    """Everything later is NaN, offline and in the very chunk that completes the frame."""
    g = net.geometry
    assume(g.receptive_field <= SHORT)
    frame = data.draw(st.integers(0, 5))
    x = signal(net, g.emitted_at(frame) + g.receptive_field, exact=True)
    x[g.emitted_at(frame) :] = torch.nan
    with torch.no_grad():
        assert net(x[None])[0, : frame + 1].isfinite().all()
    live = sc.Session(net).push(x)
    assert len(live) > frame
    assert live[: frame + 1].isfinite().all()


@given(st.one_of(stack(EXACT), spectral_stack(EXACT)))
def test_num_frames_equals_the_frames_of_every_length(net: sc.Sequential) -> None:
    assume(net.geometry.receptive_field <= 100)
    x = signal(net, 3 * net.geometry.receptive_field, exact=True)
    with torch.no_grad():
        for count in range(len(x) + 1):
            assert net(x[None, :count]).shape[1] == net.geometry.num_frames(count) == nested_frames(net, count)


@given(stack(EXACT))
def test_the_declared_receptive_field_is_that_of_the_jacobian(net: sc.Sequential) -> None:
    """All weights positive and the signal too, so that no path cancels another or meets a ReLU's zero."""
    g = net.geometry
    assume(g.receptive_field <= SHORT)
    for parameter in net.parameters():
        parameter.data.abs_()
    frame = -(-g.pad_left // g.stride)
    first, last = g.span(frame)
    x = signal(net, last + g.receptive_field + 1, exact=True).abs().add(1).requires_grad_()
    (gradient,) = torch.autograd.grad(net(x[None])[0, frame].sum(), x)
    touched = gradient.sum(1).nonzero().flatten()
    assert (int(touched[0]), int(touched[-1])) == (first, last)


@pytest.mark.parametrize("n_fft", [7, 16])
@pytest.mark.parametrize("behind", [False, True])
def test_the_receptive_field_of_an_stft_is_that_of_the_jacobian(n_fft: int, behind: bool) -> None:
    """A rectangular window: the usual ones are 0 at their first sample."""
    stft = sc.ConvSTFT(n_fft, hop_length=5, window="boxcar", output="power")
    convs = [sc.Conv1d(stft.out_channels or 0, 2, 4, stride=2, dilation=3, padding=(4, 1))] if behind else []
    net = sc.Sequential(stft, *convs)
    fill(net, exact=True, seed=0)
    for parameter in net.parameters():
        parameter.data.abs_()
    frame = 3
    first, last = net.geometry.span(frame)
    x = torch.randn(last + 40, requires_grad=True)
    (gradient,) = torch.autograd.grad(net(x[None])[0, frame].sum(), x)
    touched = gradient.nonzero().flatten()
    assert (int(touched[0]), int(touched[-1])) == (first, last)


@given(st.data(), st.one_of(stack(EXACT), spectral_stack(EXACT)))
def test_a_batch_padded_with_nan_equals_its_rows(data: st.DataObject, net: sc.Sequential) -> None:
    lengths = [draw_length(data, net) for _ in range(3)]
    assert_rows_stand_alone(net, [signal(net, n, exact=True, seed=n) for n in lengths])


@given(st.data(), st.one_of(stack(SMOOTH), spectral_stack(SMOOTH)))
def test_gradients_through_a_stream_equal_offline_gradients(data: st.DataObject, net: sc.Sequential) -> None:
    assume(not net.geometry.mirror)  # the mirrored ends are the caller's to feed
    x = signal(net, draw_length(data, net), exact=False)
    assume(net.geometry.num_frames(len(x)))
    assert_gradients_through_a_stream(net, x)


SINGLE_LAYERS: dict[str, Callable[[], sc.Layer]] = {
    "conv": lambda: sc.Conv1d(3, 5, 4, stride=2, dilation=3, padding=(4, 2)),
    "conv with gaps": lambda: sc.Conv1d(3, 5, 2, stride=5),
    "depthwise conv": lambda: sc.Conv1d(4, 4, 31, groups=4, padding="same"),
    "causal conv": lambda: sc.Conv1d(3, 3, 3, dilation=4, padding="causal"),
    "layer norm": lambda: sc.LayerNorm(6),
    "batch norm": lambda: sc.BatchNorm(6),
    "cumulative norm": lambda: sc.CumulativeNorm(6),
    "residual": lambda: sc.Residual(sc.Conv1d(4, 4, 128, groups=2, padding=(64, 63))),
    "parallel": lambda: sc.Parallel(sc.Conv1d(4, 4, 5, padding="same"), sc.Conv1d(4, 4, 9, padding="causal")),
    "stft": lambda: sc.ConvSTFT(400, hop_length=160, output="power"),
    "stft, uncentred": lambda: sc.ConvSTFT(255, hop_length=320, center=False, output="magnitude"),
    "stft, reflect": lambda: sc.ConvSTFT(64, hop_length=30, pad_mode="reflect", output="real_imag"),
    "stft, window": lambda: sc.ConvSTFT(64, hop_length=16, learn="window", output="magnitude"),
    "stft, freq": lambda: sc.ConvSTFT(64, hop_length=16, learn="freq", output="real_imag"),
    "stft, delta": lambda: sc.ConvSTFT(64, hop_length=16, learn="delta", output="real_imag"),
    "stft, free": lambda: sc.ConvSTFT(64, hop_length=16, learn="free", output="power"),
    "mel": lambda: sc.Mel(20, sample_rate=16000, n_fft=400),
    "mel, learned": lambda: sc.Mel(20, sample_rate=16000, n_fft=400, learn=True),
    "logmel": lambda: sc.Pipeline.from_preset("logmel"),
    "mu-law": lambda: sc.MuLaw(100),
    "mu-law, quantized": lambda: sc.MuLaw(quantize=True),
    "normalize, frozen": lambda: sc.Normalize(statistics="frozen"),
    "encoder, layer norm": lambda: sc.FeatureEncoder(channels=8, norm="layer", bias=True),
    "encoder, frozen": lambda: sc.FeatureEncoder(channels=8, group_norm="frozen"),
    "encoder, cumulative": lambda: sc.FeatureEncoder(channels=8, group_norm="cumulative"),
    "encoder with gaps": lambda: sc.FeatureEncoder(channels=6, kernel_sizes=(3, 2, 1), strides=(5, 2, 3), norm="layer"),
    "encoder with gaps, cumulative": lambda: sc.FeatureEncoder(
        channels=6, kernel_sizes=(2, 3), strides=(5, 2), bias=True, group_norm="cumulative"
    ),
    "encoder of one conv": lambda: sc.FeatureEncoder(
        channels=6, kernel_sizes=(10,), strides=(5,), bias=True, group_norm="frozen"
    ),
    "encoder of one conv, cumulative": lambda: sc.FeatureEncoder(
        channels=6, kernel_sizes=(4,), strides=(3,), group_norm="cumulative"
    ),
    "wavenet encoder": lambda: sc.WaveNetEncoder(
        channels=5, residual_channels=4, dilations=(1, 2, 4, 1, 2), hop_length=12
    ),
    "wavenet": lambda: sc.WaveNetStack(4, dilations=(1, 2, 4), stacks=2, skip_channels=3),
    "wavenet, centred": lambda: sc.WaveNetStack(4, kernel_size=3, dilations=(1, 2, 4), causal=False),
    "wavenet, even and centred": lambda: sc.WaveNetStack(4, dilations=(1, 3, 2), causal=False),
    "wavenet, conditioned": lambda: sc.WaveNetStack(4, kernel_size=3, dilations=(1, 3), condition_channels=2),
    "wavenet, conditioned and centred": lambda: sc.WaveNetStack(
        4, kernel_size=4, dilations=(2, 1), stacks=2, skip_channels=6, condition_channels=3, causal=False
    ),
    "positional": lambda: sc.ConvPositionalEmbedding(4, groups=2),
    "positional, causal": lambda: sc.ConvPositionalEmbedding(4, kernel_size=12, groups=2, padding="causal"),
    "positional, (9, 2)": lambda: sc.ConvPositionalEmbedding(4, kernel_size=12, groups=4, padding=(9, 2)),
    "conformer": lambda: sc.ConformerConvModule(6),
    "conformer, causal": lambda: sc.ConformerConvModule(6, padding="causal", bias=True),
    "conformer, (5, 3)": lambda: sc.ConformerConvModule(6, kernel_size=9, padding=(5, 3), norm="layer"),
    "subsampling, conv1d": lambda: sc.ConvSubsampling(16, in_channels=5),
    "subsampling, conv1d, causal": lambda: sc.ConvSubsampling(16, in_channels=5, factor=8, padding="causal"),
    "subsampling, conv2d": lambda: sc.ConvSubsampling(12, in_channels=7, kind="conv2d"),
    "subsampling, conv2d, causal": lambda: sc.ConvSubsampling(12, in_channels=7, kind="conv2d", padding="causal"),
    "subsampling, depthwise": lambda: sc.ConvSubsampling(6, in_channels=7, kind="depthwise"),
    "subsampling, depthwise, causal": lambda: sc.ConvSubsampling(
        6, in_channels=7, kind="depthwise", factor=2, padding="causal"
    ),
    **FAMILY_LAYERS,
}
UTTERANCE_LAYERS: dict[str, Callable[[], sc.Layer]] = {
    "normalize": sc.Normalize,
    "encoder": lambda: sc.FeatureEncoder(channels=8, bias=True),
    "encoder with gaps": lambda: sc.FeatureEncoder(channels=6, kernel_sizes=(2, 3), strides=(5, 2)),
    "encoder of one conv": lambda: sc.FeatureEncoder(channels=6, kernel_sizes=(10,), strides=(5,)),
    **UTTERANCE_FAMILIES,
}
each_layer = pytest.mark.parametrize("name", SINGLE_LAYERS)


def made(build: Callable[[], sc.Layer], dtype: torch.dtype = torch.float64) -> sc.Layer:
    """With weights and statistics that no layer starts with, in eval mode."""
    layer = build()
    fill(layer, exact=False, seed=1)
    return layer.to(dtype).eval()


@each_layer
def test_every_layer_keeps_the_contract(name: str) -> None:
    assert sc.check_streaming(made(SINGLE_LAYERS[name])).worst <= 1e-12


@each_layer
def test_every_layer_streams_in_bfloat16(name: str) -> None:
    """2 % relative L2: DESIGN's bound; bfloat16 rounds to 0.4 %."""
    layer = made(SINGLE_LAYERS[name], torch.bfloat16)
    x = signal(layer, 3 * layer.geometry.receptive_field + 5, exact=False).bfloat16()
    with torch.no_grad():
        expected = layer(x[None])[0].float()
    y = stream(sc.Session(layer, dtype=x.dtype), x, [1, 0, len(x) - 1]).float()
    assert (y - expected).norm() <= 0.02 * expected.norm()


@pytest.mark.parametrize("name", [n for n in SINGLE_LAYERS if "reflect" not in n])
def test_gradients_through_a_stream_of_every_layer_equal_offline_gradients(name: str) -> None:
    layer = made(SINGLE_LAYERS[name])
    assert_gradients_through_a_stream(layer, signal(layer, max(ragged_lengths(layer)), exact=False))


@pytest.mark.parametrize(
    "build",
    [*SINGLE_LAYERS.values(), *UTTERANCE_LAYERS.values()],
    ids=[*SINGLE_LAYERS, *(f"{name}, utterance" for name in UTTERANCE_LAYERS)],
)
def test_a_batch_of_every_layer_padded_with_nan_equals_its_rows(build: Callable[[], sc.Layer]) -> None:
    """Some loud, some quiet, some beside zero, so that statistics of one row would be wrong for another."""
    layer = made(build)
    lengths = ragged_lengths(layer)
    rows = [signal(layer, n, exact=False, seed=i) * 2.0**-i + 0.1 * i for i, n in enumerate(lengths)]
    cancels = (
        isinstance(layer, sc.FeatureEncoder) and layer.policy in ("utterance", "frozen") and layer.bias is not None
    )
    assert_rows_stand_alone(layer, rows, unused=["conv_layers.0.conv.bias"] if cancels else [])


@each_layer
def test_random_traffic_in_a_pool_of_every_layer_equals_offline(name: str) -> None:
    assert_random_traffic(made(SINGLE_LAYERS[name]), seed=5)


CUMULATIVE = [name for name in SINGLE_LAYERS if "cumulative" in name]


@pytest.mark.parametrize("name", CUMULATIVE)
def test_statistics_of_all_frames_so_far_go_on_from_block_to_block(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cumulative, "BLOCK", 3)
    monkeypatch.setattr(squeeze_excitation, "BLOCK", 3)
    assert sc.check_streaming(made(SINGLE_LAYERS[name])).worst <= 1e-12


@pytest.mark.parametrize("name", CUMULATIVE)
def test_statistics_of_all_frames_so_far_keep_their_digits_under_an_offset(name: str) -> None:
    """1e4, of which float64 rounds 1e-12 away; squares that were not centred would lose 1e-8."""
    layer = made(SINGLE_LAYERS[name])
    x = signal(layer, layer.geometry.receptive_field + 40 * layer.geometry.stride, exact=False) + 1e4
    with torch.no_grad():
        expected = layer(x[None])[0]
    assert_close(stream(sc.Session(layer), x, [1, 0, len(x) - 1]), expected, 1e-10)


@each_layer
def test_one_block_a_step_of_every_layer_is_bitwise_independent_of_chunking(name: str) -> None:
    layer = made(SINGLE_LAYERS[name], torch.float32)
    x = signal(layer, max(ragged_lengths(layer)), exact=False).float()
    rng = random.Random(0)
    sizes = [0, *(rng.randint(0, (len(x) - 1) // 4) for _ in range(4)), 1]
    whole = stream(sc.Session(layer, max_blocks=1, dtype=x.dtype), x, [len(x)])
    assert len(whole)
    assert torch.equal(stream(sc.Session(layer, max_blocks=1, dtype=x.dtype), x, [*sizes, len(x) - sum(sizes)]), whole)


SMALLER_WINDOW = ("stft", "logmel")  # Hann windows are 0 at their first sample; test above: a rectangular one
NO_SLOPE = "mu-law, quantized"


@pytest.mark.parametrize("name", [n for n in SINGLE_LAYERS if not n.startswith(SMALLER_WINDOW) and n != NO_SLOPE])
def test_the_declared_receptive_field_of_every_layer_is_that_of_the_jacobian(name: str) -> None:
    """Of an inner frame, over signals of several levels, for a ReLU or a maximum passes only a part of each; statistics
    of all frames so far reach back to the first sample, and no further ahead."""
    layer = made(SINGLE_LAYERS[name])
    g = layer.geometry
    frame = -(-g.pad_left // g.stride) + 2
    first, last = g.span(frame)
    length = last + g.receptive_field + g.stride
    signals = [signal(layer, length, exact=False, seed=seed) * 2 ** (seed % 4) for seed in range(16)]
    x = torch.stack(signals).requires_grad_()
    (gradient,) = torch.autograd.grad(layer(x)[:, frame].sum(), x)
    gradient = gradient.abs().sum(0)
    by_channel = gradient if gradient.ndim > 1 else gradient[:, None]
    assert by_channel.any(0).all() or isinstance(layer, sc.Mel)  # whose filters leave out some bins
    touched = by_channel.any(1)
    touched = touched.nonzero().flatten()
    assert (int(touched[0]), int(touched[-1])) == (0 if "cumulative" in name else first, last)
