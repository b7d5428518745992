"""What stands inside a layer that runs its parts by a way of its own: the rows below it, by shapes alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from speechconv.cost.layer_rules import conv_products, moment_products
from speechconv.cost.rules import Shape, Work, computes_as
from speechconv.frontend.wav2vec2 import Block, FeatureEncoder
from speechconv.geometry import Geometry
from speechconv.layers.wavenet import GatedLayer, WaveNetStack


@dataclass(frozen=True)
class Inner:
    """A part of such a layer, behind the parts before it.

    Attributes:
        name: of the module, as in `named_modules`.
        module: holds the part's parameters.
        geometry: of this part alone.
        shape: of its output.
        work: what it does; its `tensors` name the output too.
    """

    name: str
    module: nn.Module
    geometry: Geometry
    shape: Shape
    work: Work


def inside(layer: nn.Module, x: Shape) -> Sequence[Inner]:
    """The parts of `layer` for an input of shape `x`, in order; none for a layer that has a rule."""
    if isinstance(layer, FeatureEncoder) and computes_as(layer, FeatureEncoder):
        return _encoder(layer, x)
    if isinstance(layer, WaveNetStack) and computes_as(layer, WaveNetStack):
        return _stack(layer, x)
    return ()


def _encoder(encoder: FeatureEncoder, x: Shape) -> list[Inner]:
    frames, channels = x[0], encoder.channels
    return [
        _block(f"conv_layers.{i}", block, frames := block.conv.geometry.num_frames(frames), channels, encoder, x)
        for i, block in enumerate(encoder.blocks)
    ]


def _block(name: str, block: Block, frames: int, channels: int, encoder: FeatureEncoder, x: Shape) -> Inner:
    """Convolution, norm, GELU. A group norm of given or of the utterance's statistics is one product with its
    convolution; those of the utterance are w'mu and w'Cw of each filter w."""
    values = frames * channels
    products = conv_products(block.conv, values)
    folded = isinstance(block.layer_norm, nn.GroupNorm)
    if folded and encoder.policy == "utterance":
        taps = encoder.window.size
        products += moment_products(encoder.window, x[0]) + channels * taps + channels * taps**2
    tensors = 2 if folded or block.layer_norm is None else 3
    return Inner(name, block, block.conv.geometry, (frames, channels), Work(products, tensors=(values,) * tensors))


def _stack(stack: WaveNetStack, x: Shape) -> list[Inner]:
    return [_gated(f"layers.{i}", layer, x[0], stack) for i, layer in enumerate(stack.layers)]


def _gated(name: str, layer: GatedLayer, frames: int, stack: WaveNetStack) -> Inner:
    """Dilated convolution, conditioning, gate, mix; then the next x and the sum of skips."""
    gates = layer.dilated.channels_after(stack.channels)
    widths = [gates, stack.channels, sum(layer.widths), *filter(None, layer.widths)]
    products = conv_products(layer.dilated, frames * gates) + frames * layer.mix.in_features * layer.mix.out_features
    if layer.condition is not None:
        widths[1:1] = [gates, gates]
        products += frames * layer.condition.in_features * gates
    tensors = tuple(frames * width for width in widths)
    return Inner(name, layer, layer.dilated.geometry, (frames, layer.widths[1]), Work(products, tensors=tensors))
