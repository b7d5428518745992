"""Rules of the families' own layers; what is composed of known ones needs none."""

from __future__ import annotations

from math import prod

from speechconv.cost.layer_rules import conv_products
from speechconv.cost.rules import Shape, Work, rule
from speechconv.layers.families.gating_mlp import Half
from speechconv.layers.families.lightweight_conv import LightweightConv
from speechconv.layers.families.pointwise_conv import PointwiseConv
from speechconv.layers.families.pooling import AvgPool1d, MaxPool1d
from speechconv.layers.families.shuffle import ChannelShuffle
from speechconv.layers.families.squeeze_excitation import SqueezeExcitation


@rule(PointwiseConv)
def _(layer: PointwiseConv, x: Shape, y: Shape) -> Work:
    return Work(conv_products(layer, prod(y)))


@rule(LightweightConv)
def _(layer: LightweightConv, x: Shape, y: Shape) -> Work:
    """Each channel with its head's filter, which has been through a softmax."""
    return Work(prod(y) * layer.kernel_size)


@rule(SqueezeExcitation)
def _(layer: SqueezeExcitation, x: Shape, y: Shape) -> Work:
    """Two matrices for each frame, or once for an utterance."""
    gates = 1 if layer.statistics == "utterance" else y[0]
    return Work(gates * 2 * layer.squeeze.in_features * layer.squeeze.out_features)


@rule(AvgPool1d, ChannelShuffle, MaxPool1d)
def _(layer: object, x: Shape, y: Shape) -> Work:
    """Values moved, compared or summed: no products."""
    return Work()


@rule(Half)
def _(layer: Half, x: Shape, y: Shape) -> Work:
    """A view of half of the input."""
    return Work(tensors=())
