"""Every convolution family in its causal and its padded forms, for the law in tests/test_law.py."""

from __future__ import annotations

from collections.abc import Callable

import speechconv as sc

FAMILY_LAYERS: dict[str, Callable[[], sc.Layer]] = {
    "pointwise": lambda: sc.PointwiseConv(4, 6),
    "pointwise, grouped and strided": lambda: sc.PointwiseConv(4, 6, stride=3, groups=2, bias=False),
    "conv block": lambda: sc.ConvBlock(4, 6, 5, stride=2),
    "conv block, causal": lambda: sc.ConvBlock(4, 6, 3, stride=3, padding="causal", norm="layer", activation="gelu"),
    "conv block, valid": lambda: sc.ConvBlock(4, 6, 4, dilation=2, padding="valid", norm=None, activation="silu"),
    "mlpconv": lambda: sc.MLPConv(4, 8, 5, hidden_channels=(12, 10)),
    "mlpconv, causal": lambda: sc.MLPConv(4, 12, 3, stride=2, padding="causal"),
    "separable, mobilenet": lambda: sc.SeparableConv(12, 8, 3, stride=2),
    "separable, mobilenet, causal": lambda: sc.SeparableConv(12, 8, 4, dilation=3, padding="causal", norm="layer"),
    "separable, xception": lambda: sc.SeparableConv(6, 8, 5, dilation=2, kind="xception"),
    "separable, xception, causal": lambda: sc.SeparableConv(
        6, 8, 3, stride=2, padding="causal", kind="xception", norm=None
    ),
    "channel shuffle": lambda: sc.ChannelShuffle(6, groups=3),
    "shuffle unit": lambda: sc.ShuffleUnit(48, 48),
    "shuffle unit, strided": lambda: sc.ShuffleUnit(12, 48, stride=2, kernel_size=5, padding=(1, 3)),
    "shuffle unit, causal": lambda: sc.ShuffleUnit(32, 32, groups=2, padding="causal", norm="layer"),
    "shuffle unit, strided and causal": lambda: sc.ShuffleUnit(12, 48, stride=3, padding="causal", norm=None),
    "inverted residual": lambda: sc.InvertedResidual(4, 4),
    "inverted residual, strided": lambda: sc.InvertedResidual(4, 6, expansion=3, kernel_size=5, stride=2),
    "inverted residual, causal": lambda: sc.InvertedResidual(4, 4, expansion=4, padding="causal", norm="layer"),
    "inverted residual, unexpanded": lambda: sc.InvertedResidual(8, 6, expansion=1, padding=(1, 1), norm=None),
    "fire": lambda: sc.Fire(6, 12, squeeze_channels=4),
    "fire, causal": lambda: sc.Fire(6, 12, squeeze_channels=4, kernel_size=4, padding="causal"),
    "inception": lambda: sc.Inception(
        16, pointwise_channels=4, reduced_channels=(6, 5), branch_channels=(8, 7), pool_channels=6
    ),
    "inception, causal": lambda: sc.Inception(
        16,
        pointwise_channels=4,
        reduced_channels=(6,),
        branch_channels=(8,),
        pool_channels=6,
        kernel_sizes=(4,),
        padding="causal",
        norm="layer",
    ),
    "inception, (4, 2)": lambda: sc.Inception(
        16,
        pointwise_channels=4,
        reduced_channels=(6, 8),
        branch_channels=(8, 8),
        pool_channels=6,
        kernel_sizes=(5, 7),
        pool_size=4,
        padding=(4, 2),
        norm="batch",
    ),
    "residual block": lambda: sc.ResidualBlock(6, 6),
    "residual block, strided": lambda: sc.ResidualBlock(6, 8, kernel_size=5, stride=2, padding=(3, 1)),
    "residual block, causal": lambda: sc.ResidualBlock(6, 8, padding="causal", norm="layer"),
    "bottleneck block": lambda: sc.BottleneckBlock(8, 8, bottleneck_channels=6),
    "bottleneck block, strided": lambda: sc.BottleneckBlock(8, 32, stride=2),
    "bottleneck block, causal": lambda: sc.BottleneckBlock(16, 16, kernel_size=4, padding="causal", norm=None),
    "gated conv": lambda: sc.GatedConv(4, 6, 5),
    "gated conv, padded": lambda: sc.GatedConv(4, 6, 4, stride=2, dilation=2, padding="same"),
    "dilated stack": lambda: sc.DilatedStack(6, dilations=(1, 2, 4)),
    "dilated stack, causal": lambda: sc.DilatedStack(
        8, kernel_size=2, dilations=(1, 2, 4), padding="causal", norm=None, residual=False
    ),
    "dilated stack, (1, 2)": lambda: sc.DilatedStack(6, kernel_size=4, dilations=(2, 1), padding=(1, 2), norm="layer"),
    "max pool": lambda: sc.Sequential(sc.LayerNorm(24), sc.MaxPool1d(3, stride=2, padding="same")),
    "max pool, causal": lambda: sc.Sequential(sc.LayerNorm(24), sc.MaxPool1d(4, stride=1, padding="causal")),
    "max pool with gaps": lambda: sc.Sequential(sc.LayerNorm(24), sc.MaxPool1d(2, stride=5, padding=(0, 1))),
    "average pool": lambda: sc.Sequential(sc.LayerNorm(4), sc.AvgPool1d(3, stride=2, padding="same")),
    "average pool, causal": lambda: sc.Sequential(
        sc.LayerNorm(4), sc.AvgPool1d(4, stride=1, padding="causal", count_include_pad=False)
    ),
    "average pool with gaps": lambda: sc.Sequential(
        sc.LayerNorm(4), sc.AvgPool1d(2, stride=5, padding=(1, 0), count_include_pad=False)
    ),
    "gating unit": lambda: sc.ConvGatingUnit(8, kernel_size=7, linear=True),
    "gating mlp": lambda: sc.ConvGatingMLP(4, hidden_channels=8, kernel_size=5),
    "gating mlp, causal": lambda: sc.ConvGatingMLP(4, hidden_channels=8, kernel_size=4, padding="causal", linear=True),
    "lightweight": lambda: sc.LightweightConv(6, 5, heads=3),
    "lightweight, causal": lambda: sc.LightweightConv(6, 4, heads=2, padding="causal", bias=False),
    "lightweight module": lambda: sc.LightweightConvModule(4, kernel_size=5, padding=(3, 1)),
    "squeeze and excitation, cumulative": lambda: sc.SqueezeExcitation(6, hidden_channels=8),
}

UTTERANCE_FAMILIES: dict[str, Callable[[], sc.Layer]] = {
    "squeeze and excitation": lambda: sc.SqueezeExcitation(6, hidden_channels=8, statistics="utterance"),
    "squeeze and excitation behind a convolution": lambda: sc.Sequential(
        sc.Conv1d(3, 6, 3, padding="same"), sc.SqueezeExcitation(6, hidden_channels=8, statistics="utterance")
    ),
}
