"""Random stacks of layers for the law (every conv, residuals, parallel branches with strides, nested), and its judges.

`exact` stacks hold small integers and ReLU, so that float64 sums are exact and results must be equal bit by bit; the
others hold LayerNorm, GELU and real weights. The judges take any layer, in float64 and eval mode.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

import speechconv as sc
from speechconv.combine import Join
from speechconv.layout import axes
from speechconv.session import Handle

Draw = st.DrawFn
CHANNELS = 4
LARGEST_EXACT = 2.0**52
TAME = 0.1
"""Layer norm's eps. The usual 1e-5 magnifies four near-equal channels 300 times, and float32's rounding with them."""


@dataclass(frozen=True)
class Kind:
    """What a stack is made of."""

    exact: bool = True
    strides: bool = True


@st.composite
def conv(draw: Draw, cin: int, cout: int, stride: int = 1, *, full: bool = False) -> sc.Conv1d:
    """Any convolution; `full` pads k_eff - 1 in all, which keeps ceil(N / stride) frames."""
    kernel_size, dilation = draw(st.integers(1, 9)), draw(st.integers(1, 4))
    span = (kernel_size - 1) * dilation + 1
    left = draw(st.integers(0, span - 1))
    right = span - 1 - left if full else draw(st.integers(0, span - 1 - left))
    groups = draw(st.sampled_from([g for g in (1, 2, 4) if cin % g == cout % g == 0]))
    return sc.Conv1d(cin, cout, kernel_size, stride=stride, dilation=dilation, groups=groups, padding=(left, right))


@st.composite
def activation(draw: Draw, kind: Kind) -> nn.Module:
    if kind.exact:
        return draw(st.sampled_from([nn.ReLU(), nn.Identity()]))
    norms = [nn.LayerNorm(CHANNELS, eps=TAME), sc.LayerNorm(CHANNELS, eps=TAME)]
    return draw(st.sampled_from([nn.GELU(), nn.Tanh(), nn.SiLU(), *norms]))


@st.composite
def residual(draw: Draw, kind: Kind, depth: int) -> sc.Residual:
    body: list[nn.Module] = [draw(conv(CHANNELS, CHANNELS, full=True)), draw(activation(kind))]
    if depth:
        body.append(draw(st.one_of(residual(kind, depth - 1), parallel(kind, depth - 1, stride=1))))
    return sc.Residual(sc.Sequential(*body), scale=draw(st.sampled_from([1.0, 0.5, 2.0])))


@st.composite
def branch(draw: Draw, kind: Kind, depth: int, stride: int, cout: int) -> nn.Module:
    """ceil(N / stride) frames by one conv or several, whatever their receptive fields."""
    first = draw(st.sampled_from([f for f in (1, 2, 3) if stride % f == 0]))
    layers: list[nn.Module] = [draw(conv(CHANNELS, CHANNELS, first, full=True)), draw(activation(kind))]
    if depth:
        layers.append(draw(residual(kind, depth - 1)))
    layers.append(draw(conv(CHANNELS, cout, stride // first, full=True)))
    return sc.Sequential(*layers)


@st.composite
def aligned_valid_branch(draw: Draw, span: int, stride: int, cout: int) -> nn.Module:
    """A conv at least `span` long whose pads make up for what it is longer: the frames of a valid conv of that span."""
    kernel_size = span + draw(st.integers(0, 6))
    left = draw(st.integers(0, kernel_size - span))
    return sc.Conv1d(CHANNELS, cout, kernel_size, stride=stride, padding=(left, kernel_size - span - left))


@st.composite
def parallel(draw: Draw, kind: Kind, depth: int, stride: int | None = None) -> nn.Module:
    """Branches of different receptive fields, pads and ways to reach the stride; CHANNELS in, CHANNELS out."""
    keeps = stride is not None
    stride = stride or draw(st.sampled_from([1, 2, 3, 4, 6] if kind.strides else [1]))
    join: Join = draw(st.sampled_from(["sum", "cat", "product"]))
    couts = [1, CHANNELS - 1] if join == "cat" else [CHANNELS] * draw(st.integers(2, 3))
    span = None if keeps else draw(st.one_of(st.none(), st.integers(1, 8)))
    if span is None:
        branches = [draw(branch(kind, depth, stride, cout)) for cout in couts]
    else:
        branches = [draw(aligned_valid_branch(span, stride, cout)) for cout in couts]
    return sc.Parallel(*branches, join=join)


@st.composite
def stack(draw: Draw, kind: Kind, *, cin: int = 1, depth: int = 1) -> sc.Sequential:
    """A chain of one to three pieces on `cin` channels, with its weights."""
    stride = draw(st.integers(1, 5)) if kind.strides else 1
    layers: list[nn.Module] = [draw(conv(cin, CHANNELS, stride)), draw(activation(kind))]
    for _ in range(draw(st.integers(0, 2))):
        piece = st.one_of(
            conv(CHANNELS, CHANNELS, draw(st.integers(1, 3)) if kind.strides else 1),
            residual(kind, depth),
            parallel(kind, depth),
        )
        layers += [draw(piece), draw(activation(kind))]
    net = sc.Sequential(*layers)
    fill(net, kind.exact, draw(st.integers(0, 2**31)))
    return net.double().eval()


@st.composite
def spectral_stack(draw: Draw, kind: Kind) -> sc.Sequential:
    """A stack behind a centred STFT, fed with a waveform."""
    stft = sc.ConvSTFT(
        draw(st.integers(2, 24)),
        hop_length=draw(st.integers(1, 16)),
        pad_mode=draw(st.sampled_from(["constant", "reflect"])),
        learn=draw(st.sampled_from([None, "window", "freq", "delta", "free"])),
        output="real_imag",
    )
    behind = draw(stack(Kind(exact=False, strides=kind.strides), cin=stft.out_channels or 0))
    return sc.Sequential(stft, *behind).double().eval()


@torch.no_grad()
def fill(net: nn.Module, exact: bool, seed: int) -> None:
    """Weights, biases and running statistics, none of them zero: small integers in convolutions and norms, or real
    numbers that keep the signal's size."""
    generator = torch.Generator().manual_seed(seed)
    for module in net.modules():
        if exact and not isinstance(module, sc.Conv1d | nn.LayerNorm | sc.LayerNorm):
            continue
        buffers = () if exact else module.named_buffers(recurse=False)
        for name, tensor in (*module.named_parameters(recurse=False), *buffers):
            if exact:
                sign = torch.randint(0, 2, tensor.shape, generator=generator) * 2 - 1
                tensor.copy_(sign * torch.randint(1, 3, tensor.shape, generator=generator))
            elif name in _REAL:
                tensor.copy_(_REAL[name](tensor, torch.randn(tensor.shape, generator=generator)))
            elif isinstance(tensor, nn.Parameter):
                tensor.add_(0.1 * torch.randn(tensor.shape, generator=generator))  # what starts at zero: *_delta
        if isinstance(module, sc.ConvPositionalEmbedding):
            module.weight_g.mul_(torch.linalg.vector_norm(module.weight_v, dim=(0, 1), keepdim=True))


def _scaled(tensor: Tensor, noise: Tensor) -> Tensor:
    return noise / (tensor[0].numel() if tensor.ndim > 1 else 1) ** 0.5


def _level(_: Tensor, noise: Tensor) -> Tensor:
    return 0.5 * noise


def _spread(_: Tensor, noise: Tensor) -> Tensor:
    return 1.5 + noise.tanh()


_REAL = {
    "weight": _scaled,
    "bias": _scaled,
    "weight_v": _scaled,
    "weight_g": _spread,
    "running_mean": _level,
    "running_var": _spread,
    "frozen_mean": _level,
    "frozen_var": _spread,
}


def signal(net: sc.Layer, num_samples: int, *, exact: bool, seed: int = 0) -> Tensor:
    """Integers, or noise, of the shape that `net` takes; float64, no batch axis."""
    generator = torch.Generator().manual_seed(seed)
    shape = (num_samples, net.in_channels) if net.in_channels else (num_samples,)
    if exact:
        return torch.randint(-3, 4, shape, generator=generator).double()
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@st.composite
def cuts(draw: Draw, total: int) -> list[int]:
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


class Traffic:
    """Streams in a pool, each judged by its offline run when it is closed.

    Attributes:
        worst: largest difference so far, relative to the largest offline value.
        opened, judged: streams so far.
    """

    ROWS = 3

    def __init__(self, net: sc.Layer) -> None:
        self.net = net
        self.pool = sc.SessionPool(net, max_sessions=self.ROWS, dtype=torch.float64)
        self.sent: dict[Handle, Tensor] = {}
        self.got: dict[Handle, list[Tensor]] = {}
        self.worst, self.opened, self.judged = 0.0, 0, 0

    @property
    def full(self) -> bool:
        return len(self.pool) == self.ROWS

    def open(self) -> Handle:
        handle = self.pool.open()
        self.sent[handle], self.got[handle] = signal(self.net, 0, exact=True), []
        self.opened += 1
        return handle

    def push(self, handle: Handle, chunk: Tensor) -> None:
        self.pool.push(handle, chunk)
        self.sent[handle] = torch.cat((self.sent[handle], chunk))

    def pump(self) -> None:
        for handle, frames in self.pool.pump().items():
            self.got[handle].append(frames)

    def close(self, handle: Handle) -> None:
        """Whoever pushed NaN is not judged."""
        self.pool.close(handle)
        self.pump()
        sent, got = self.sent.pop(handle), self.got.pop(handle)
        if sent.isfinite().all():
            with torch.no_grad():
                expected = self.net(sent[None])[0]
            self.worst = max(self.worst, assert_close(torch.cat([expected[:0], *got]), expected, 1e-12))
            self.judged += 1


def assert_random_traffic(net: sc.Layer, seed: int, *, turns: int = 50) -> float:
    """Streams open, push, pause, end and follow each other in three rows, every third of them with NaN in all it
    pushes: the others equal their offline runs. The largest difference."""
    rng, lengths = random.Random(seed), random.Random(seed)  # the same actions for every layer
    traffic = Traffic(net)
    for turn in range(turns):
        action = rng.choice(("open", "push", "push", "push", "pump", "close"))
        if not traffic.sent or (action == "open" and not traffic.full):
            traffic.open()
            continue
        handle = rng.choice(list(traffic.sent))
        if action == "pump":
            traffic.pump()
        elif action == "close":
            traffic.close(handle)
        else:
            chunk = signal(net, lengths.randint(0, 2 * net.geometry.receptive_field), exact=False, seed=turn)
            traffic.push(handle, torch.full_like(chunk, torch.nan) if handle % 3 == 1 else chunk)
    for handle in list(traffic.sent):
        traffic.close(handle)
    assert traffic.judged > Traffic.ROWS  # so that rows have had several users
    assert traffic.opened > traffic.judged
    return traffic.worst


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
