"""Random stacks in which every family stands behind, beside and inside the other layers, causal and padded."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from torch import nn

import speechconv as sc
from speechconv.combine import Join
from speechconv.geometry import Padding
from speechconv.layers.families.conv_block import Norm
from tests.stacks import CHANNELS, Draw, Kind, activation, conv
from tests.weights import fill

C = CHANNELS
STRIDED = ("conv_block", "separable", "inverted", "residual_block", "bottleneck", "mlpconv", "max")
STILL = (*STRIDED, "fire", "inception", "dilated", "pointwise", "channel_shuffle", "shuffle")
SMOOTH_STRIDED = (*STRIDED, "gated", "average", "strided_shuffle")
SMOOTH_STILL = (*STILL, "gated", "average", "gating_mlp", "lightweight", "lightweight_module", "squeeze")
"""Families, as they stand with a stride above 1 and without; the smooth ones beside those that keep integers."""


@st.composite
def pads(draw: Draw, span: int) -> Padding:
    """All of a window's frames but one, so that ceil(N / stride) come out."""
    left = draw(st.integers(0, span - 1))
    return draw(st.sampled_from(["same", "causal", (left, span - 1 - left)]))


@st.composite
def few_pads(draw: Draw, span: int) -> Padding:
    """Any pads, none among them: what comes out fits no skip and no other branch."""
    left = draw(st.integers(0, span - 1))
    return draw(st.sampled_from(["valid", (left, draw(st.integers(0, span - 1 - left)))]))


@st.composite
def short_family(draw: Draw, kind: Kind) -> sc.Layer:
    """A family that may lose frames at the ends, C channels in and out."""
    size, stride, dilation = (draw(st.integers(1, most)) for most in (4, 3, 3))
    name = draw(
        st.sampled_from(("conv_block", "separable", "mlpconv", "max", *(() if kind.exact else ("gated", "average"))))
    )
    if name in ("mlpconv", "max", "average"):
        dilation = 1
    moved: dict[str, Any] = {"stride": stride, "padding": draw(few_pads((size - 1) * dilation + 1))}
    norm: Norm | None = None if kind.exact else draw(st.sampled_from([None, "batch", "layer"]))
    match name:
        case "conv_block":
            return sc.ConvBlock(C, C, size, **moved, dilation=dilation, norm=norm)
        case "separable":
            return sc.SeparableConv(C, C, size, **moved, dilation=dilation, norm=norm)
        case "gated":
            return sc.GatedConv(C, C, size, **moved, dilation=dilation)
        case "mlpconv":
            return sc.MLPConv(C, C, size, **moved)
        case "max":
            return sc.MaxPool1d(size, **moved)
        case _:
            return sc.AvgPool1d(size, **moved, count_include_pad=draw(st.booleans()))


@st.composite
def family(draw: Draw, kind: Kind, stride: int = 1) -> sc.Layer:
    """Any family, C channels in and out, ceil(N / stride) frames; of the exact ones no norm and no mean."""
    strided, still = (STRIDED, STILL) if kind.exact else (SMOOTH_STRIDED, SMOOTH_STILL)
    size = draw(st.integers(1, 5))
    padding: Any = draw(pads(size))
    norm: Norm | None = None if kind.exact else draw(st.sampled_from([None, "batch", "layer"]))
    moved: dict[str, Any] = {"stride": stride, "padding": padding}
    normed: dict[str, Any] = {**moved, "kernel_size": size, "norm": norm}
    match draw(st.sampled_from(strided if stride > 1 else still)):
        case "conv_block":
            return sc.ConvBlock(C, C, **normed, groups=2)
        case "separable":
            return sc.SeparableConv(C, C, **normed, kind=draw(st.sampled_from(["mobilenet", "xception"])))
        case "inverted":
            return sc.InvertedResidual(C, C, **normed, expansion=draw(st.integers(1, 2)))
        case "residual_block":
            return sc.ResidualBlock(C, C, **normed)
        case "bottleneck":
            return sc.BottleneckBlock(C, C, **normed, bottleneck_channels=2)
        case "shuffle":
            return sc.ShuffleUnit(C, C, **normed, groups=1)
        case "strided_shuffle":
            unit = sc.ShuffleUnit(C, 2 * C, **normed, groups=2)
            return sc.Sequential(unit, sc.PointwiseConv(2 * C, C))
        case "gated":
            return sc.GatedConv(C, C, size, **moved)
        case "mlpconv":
            return sc.MLPConv(C, C, size, **moved, hidden_channels=(2, 3))
        case "max":
            return sc.MaxPool1d(size, **moved)
        case "average":
            return sc.AvgPool1d(size, **moved, count_include_pad=draw(st.booleans()))
        case "fire":
            return sc.Fire(C, C, squeeze_channels=2, kernel_size=size, padding=padding)
        case "inception":
            return sc.Inception(
                C,
                pointwise_channels=1,
                reduced_channels=(2,),
                branch_channels=(2,),
                pool_channels=1,
                kernel_sizes=(size,),
                pool_size=draw(st.integers(1, size)),
                padding=padding,
                norm=norm,
            )
        case "dilated":
            return sc.DilatedStack(
                C,
                kernel_size=size,
                dilations=draw(st.lists(st.integers(1, 3), min_size=1, max_size=2).map(tuple)),
                padding=padding,
                norm=norm,
                residual=draw(st.booleans()),
            )
        case "pointwise":
            return sc.PointwiseConv(C, C, groups=draw(st.sampled_from([1, 2])))
        case "channel_shuffle":
            return sc.ChannelShuffle(C, groups=2)
        case "gating_mlp":
            return sc.ConvGatingMLP(
                C,
                hidden_channels=2 * C,
                kernel_size=size,
                padding=padding,
                linear=draw(st.booleans()),
            )
        case "lightweight":
            return sc.LightweightConv(C, size, heads=2, padding=padding)
        case "lightweight_module":
            return sc.LightweightConvModule(C, kernel_size=size, heads=2, padding=padding)
        case _:
            return sc.SqueezeExcitation(C, hidden_channels=3)


@st.composite
def piece(draw: Draw, kind: Kind) -> nn.Module:
    """A family alone, with few pads, under a skip, or beside a convolution or another family of the same stride."""
    place = draw(st.sampled_from(["alone", "short", "skip", "beside"]))
    if place == "short":
        return draw(short_family(kind))
    if place == "skip":
        return sc.Residual(sc.Sequential(draw(family(kind)), draw(activation(kind)), draw(family(kind))))
    stride = draw(st.integers(1, 3))
    layer = draw(family(kind, stride))
    if place == "alone":
        return layer
    other = draw(st.one_of(conv(C, C, stride, full=True), family(kind, stride)))
    join: Join = draw(st.sampled_from(["sum", "cat", "product"]))
    if join == "cat":
        return sc.Sequential(sc.Parallel(layer, other, join=join), sc.PointwiseConv(2 * C, C))
    return sc.Parallel(layer, other, join=join)


@st.composite
def family_stack(draw: Draw, kind: Kind) -> sc.Sequential:
    """A convolution, then one piece or two with an activation between them, with weights."""
    layers: list[nn.Module] = [draw(conv(1, C, draw(st.integers(1, 3)))), draw(piece(kind))]
    if draw(st.booleans()):
        layers += [draw(activation(kind)), draw(piece(kind))]
    net = sc.Sequential(*layers)
    fill(net, kind.exact, draw(st.integers(0, 2**31)))
    return net.double().eval()
