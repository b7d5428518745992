"""The law: offline and live give the same frames for any chunks, each as early as its input permits, none revised.

Tolerances are DESIGN's: bitwise where every sum is exact, else 1e-12 (float64) and 1e-5 (float32) of the largest value.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, target
from hypothesis import strategies as st
from torch import Tensor

import speechconv as sc
from tests.stacks import LARGEST_EXACT, Kind, cuts, fill, nested_frames, signal, spectral_stack, stack, stream

EXACT, SMOOTH = Kind(exact=True), Kind(exact=False)
SHORT = 400  # receptive fields above it make no case that smaller ones do not make, only slow ones


def largest(y: Tensor) -> float:
    return float(y.detach().abs().max()) if y.numel() else 0.0


def assert_close(y: Tensor, expected: Tensor, tolerance: float) -> float:
    """The largest difference, relative to the largest expected value."""
    assert y.shape == expected.shape
    difference, scale = largest(y - expected), largest(expected)
    assert difference <= tolerance * scale
    return difference / scale if scale else 0.0


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
    """Outputs and weight gradients; frames past a row's end are 0."""
    lengths = [draw_length(data, net) for _ in range(3)]
    rows = [signal(net, n, exact=True, seed=n) for n in lengths]
    batch = torch.full((3, max(lengths) + 5, *rows[0].shape[1:]), torch.nan, dtype=torch.float64)
    for padded, row in zip(batch, rows, strict=True):
        padded[: len(row)] = row

    y, frames = net(batch, torch.tensor(lengths))
    y.sum().backward()
    together = [p.grad for p in net.parameters()]
    net.zero_grad()

    assert frames.tolist() == [net.geometry.num_frames(n) for n in lengths]
    for i, row in enumerate(rows):
        alone = net(row[None])[0]
        alone.sum().backward()
        assert_close(y[i, : frames[i]], alone, 1e-12)
        assert not y[i, frames[i] :].any()
    for parameter, gradient in zip(net.parameters(), together, strict=True):
        assert gradient is not None
        assert gradient.isfinite().all()
        assert_close(gradient, parameter.grad if parameter.grad is not None else torch.zeros_like(parameter), 1e-11)


@given(st.data(), st.one_of(stack(SMOOTH), spectral_stack(SMOOTH)))
def test_gradients_through_a_stream_equal_offline_gradients(data: st.DataObject, net: sc.Sequential) -> None:
    """Of the input and of every weight, through the pure steps of a Streamer, zeros fed behind the end."""
    assume(not net.geometry.mirror)  # the mirrored ends are the caller's to feed
    x = signal(net, draw_length(data, net), exact=False).requires_grad_()
    core = sc.Streamer(net)
    frames = net.geometry.num_frames(len(x))
    assume(frames)

    probe = torch.randn(frames, net.channels_after(core.channels), dtype=torch.float64)
    (net(x[None])[0] * probe).sum().backward()
    offline = [g.grad.clone() if g.grad is not None else None for g in (x, *net.parameters())]
    x.grad = None
    net.zero_grad()

    (run_core(core, x, frames) * probe).sum().backward()
    for live, expected in zip((x, *net.parameters()), offline, strict=True):
        if expected is None:
            assert live.grad is None or not live.grad.any()
        else:
            assert live.grad is not None
            assert largest(live.grad - expected) <= 1e-11 * max(1.0, largest(expected))


def run_core(core: sc.Streamer, x: Tensor, frames: int) -> Tensor:
    """All frames of `x`, by hand: pre-roll, signal, zeros, two blocks a step."""
    blocks = frames + core.delay
    blocks += blocks % 2
    count = blocks * core.block
    fed = torch.cat((x.new_zeros(core.preroll, *x.shape[1:]), x, x.new_zeros(count, *x.shape[1:])))[:count]
    state = core.end(core.init(1), 0, core.preroll + len(x))
    parts = []
    for step in fed.split(2 * core.block):
        y, first, valid, state = core.step(step[None], state)
        parts.append(y[0, int(first) : int(first + valid)])
    return torch.cat(parts)


SINGLE_LAYERS = {
    "conv": lambda: sc.Conv1d(3, 5, 4, stride=2, dilation=3, padding=(4, 2)),
    "conv with gaps": lambda: sc.Conv1d(3, 5, 2, stride=5),
    "depthwise conv": lambda: sc.Conv1d(4, 4, 31, groups=4, padding="same"),
    "causal conv": lambda: sc.Conv1d(3, 3, 3, dilation=4, padding="causal"),
    "layer norm": lambda: sc.LayerNorm(6),
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
}


@pytest.mark.parametrize("name", SINGLE_LAYERS)
def test_every_layer_keeps_the_contract(name: str) -> None:
    layer = SINGLE_LAYERS[name]()
    fill(layer, exact=False, seed=1)
    assert sc.check_streaming(layer).worst <= 1e-12


@pytest.mark.parametrize("name", SINGLE_LAYERS)
def test_every_layer_streams_in_bfloat16(name: str) -> None:
    """2 % relative L2: DESIGN's bound; bfloat16 rounds to 0.4 %."""
    layer = SINGLE_LAYERS[name]().bfloat16().eval()
    x = signal(layer, 3 * layer.geometry.receptive_field + 5, exact=False).bfloat16()
    with torch.no_grad():
        expected = layer(x[None])[0].float()
    y = stream(sc.Session(layer), x, [1, 0, len(x) - 1]).float()
    assert (y - expected).norm() <= 0.02 * expected.norm()
