"""The judges of the law, for any layer, in float64 and eval mode: its frames by any chunks, in any batch, are the same.

Offline runs judge live ones, a row alone judges it in a batch, and frames counted layer by layer judge the closed form.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

import speechconv as sc
from speechconv.layout import axes


def signal(net: sc.Layer, num_samples: int, *, exact: bool, seed: int = 0) -> Tensor:
    """Integers, or noise, of the shape that `net` takes; float64, no batch axis."""
    generator = torch.Generator().manual_seed(seed)
    shape = (num_samples, net.in_channels) if net.in_channels else (num_samples,)
    if exact:
        return torch.randint(-3, 4, shape, generator=generator).double()
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@st.composite
def cuts(draw: st.DrawFn, total: int) -> list[int]:
    """Chunk lengths that add up to `total`, with 0- and 1-sample chunks among them."""
    points = sorted(draw(st.lists(st.integers(0, total), max_size=6)))
    sizes = [b - a for a, b in zip([0, *points], [*points, total], strict=True)]
    at = draw(st.integers(0, len(sizes)))
    sizes[at:at] = [0]
    longest = max(range(len(sizes)), key=sizes.__getitem__)
    return [*sizes[:longest], *([1, sizes[longest] - 1] if sizes[longest] else [0]), *sizes[longest + 1 :]]


def stream(session: sc.Session, x: Tensor, sizes: Sequence[int]) -> Tensor:
    """Everything that a stream gives for `x` in chunks of these sizes."""
    parts = [session.push(chunk) for chunk in x.split(list(sizes))] if len(x) else []
    return torch.cat([*parts, session.close()])


def largest(y: Tensor) -> float:
    return float(y.detach().abs().max()) if y.numel() else 0.0


def assert_close(y: Tensor, expected: Tensor, tolerance: float) -> float:
    """The largest difference, relative to the largest expected value."""
    assert y.shape == expected.shape
    difference, scale = largest(y - expected), largest(expected)
    assert difference <= tolerance * scale  # NaN is not
    return difference / scale if scale else 0.0


def ragged_lengths(net: sc.Layer) -> list[int]:
    """No sample, too few for a frame, just enough for one, and some more; the longest is not the last."""
    g = net.geometry
    return [g.receptive_field + 4 * g.stride, 0, max(1, g.emitted_at(0) - 1), max(1, g.emitted_at(0)), g.emitted_at(3)]


def assert_rows_stand_alone(net: sc.Layer, rows: Sequence[Tensor], *, unused: Sequence[str] = ()) -> float:
    """Padded with NaN to one batch, the rows and their weight gradients are those of each row alone, and the rows again
    where no gradient is asked for; frames past a row's end are 0. The largest difference. `unused` parameters have no
    say, so no gradient either."""
    lengths = [len(row) for row in rows]
    batch = torch.full((len(rows), max(lengths) + 5, *rows[0].shape[1:]), torch.nan, dtype=torch.float64)
    for padded, row in zip(batch, rows, strict=True):
        padded[: len(row)] = row

    y, frames = net(batch, torch.tensor(lengths))
    with torch.no_grad():
        inferred, _ = net(batch, torch.tensor(lengths))
    parameters = {name: p for name, p in net.named_parameters() if name not in unused}
    if parameters:
        y.sum().backward()
    together = {name: p.grad for name, p in net.named_parameters()}
    net.zero_grad()

    worst = 0.0
    assert frames.tolist() == [net.geometry.num_frames(n) for n in lengths]
    for i, row in enumerate(rows):
        alone = net(row[None])[0]
        if parameters:
            alone.sum().backward()
        for batched in (y[i], inferred[i]):
            worst = max(worst, assert_close(batched[: frames[i]], alone, 1e-12))
            assert not batched[frames[i] :].any()
    assert all(together[name] is None for name in unused)
    for name, parameter in parameters.items():
        gradient = together[name]
        assert gradient is not None
        assert gradient.isfinite().all()
        expected = parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
        worst = max(worst, assert_near(gradient, expected))
    return worst


def assert_near(gradient: Tensor, expected: Tensor) -> float:
    """Within 1e-11 of the largest, at least of 1: a bias in front of a norm has a gradient of 0 but for rounding."""
    assert gradient.shape == expected.shape
    difference, scale = largest(gradient - expected), max(1.0, largest(expected))
    assert difference <= 1e-11 * scale
    return difference / scale


def assert_gradients_through_a_stream(net: sc.Layer, x: Tensor) -> float:
    """Of the input and of every weight, through the pure steps of a Streamer, they are the offline ones. The largest
    difference."""
    x = x.clone().requires_grad_()
    core = sc.Streamer(net, dtype=x.dtype)
    frames = net.geometry.num_frames(len(x))
    generator = torch.Generator().manual_seed(0)
    probe = torch.randn(axes(frames, net.channels_after(core.channels)), dtype=x.dtype, generator=generator)
    (net(x[None])[0] * probe).sum().backward()
    offline = [g.grad.clone() if g.grad is not None else None for g in (x, *net.parameters())]
    x.grad = None
    net.zero_grad()

    worst = 0.0
    (run_core(core, x, frames) * probe).sum().backward()
    for live, expected in zip((x, *net.parameters()), offline, strict=True):
        if expected is None:
            assert live.grad is None or not live.grad.any()
        else:
            assert live.grad is not None
            worst = max(worst, assert_near(live.grad, expected))
    return worst


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


def nested_frames(net: nn.Module, count: int) -> int:
    """Frames of `net` counted layer by layer, by torch's own formula: the slow judge of the closed form."""
    if count == 0:
        return 0
    if isinstance(net, sc.Conv1d):
        left, right = net.geometry.pad_left, net.geometry.pad_right
        return max(0, (count + left + right - net.dilation * (net.kernel_size - 1) - 1) // net.stride + 1)
    if isinstance(net, sc.ConvSTFT):
        return 1 + (count + 2 * (net.n_fft // 2) - net.n_fft) // net.hop_length
    if isinstance(net, sc.Sequential):
        return list(accumulate(net.children(), lambda n, layer: nested_frames(layer, n), initial=count))[-1]
    if isinstance(net, sc.Parallel):
        (frames,) = {nested_frames(branch, count) for branch in net.children()}
        return frames
    return count
