"""Random stacks of layers for the law: every conv, residuals, parallel branches with strides, nested.

`exact` stacks hold small integers and ReLU, so that float64 sums are exact and results must be equal bit by bit; the
others hold LayerNorm, GELU and real weights.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st
from torch import nn

import speechconv as sc
from speechconv.combine import Join
from tests.weights import fill

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
