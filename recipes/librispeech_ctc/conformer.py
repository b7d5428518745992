"""torchaudio's Conformer, with utterances of a batch that do not see their padding.

    x = x + feed_forward(x) / 2
    x = x + attention(norm(x))                  padded frames are no keys
    x = x + convolution(x)                      padded frames are zero before the depthwise convolution, and
    x = x + feed_forward(x) / 2                 count for nothing in the group norm behind it
    x = norm(x)

torchaudio's own forward masks the keys alone: behind a padded batch its convolutions see what lies beyond an utterance,
and its group norm takes mean and variance over that too. Weights, names and, without padding, numbers are torchaudio's.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torchaudio import models
from torchaudio.models.conformer import ConformerLayer

from speechconv.layout import keep


class Conformer(models.Conformer):
    """Conformer layers with group norm.

    Args:
        channels: of a frame.
        heads: of the attention; they divide `channels`.
        feed_forward: inner channels of the feed-forward modules.
        layers: how many.
        kernel_size: of the depthwise convolutions, in frames, odd.
        dropout: share that training leaves out.

    Shape:
        (batch, frames, channels), (batch,) -> the same; frames past a row's length are 0

    Source: Gulati et al. 2020, "Conformer: convolution-augmented Transformer for speech recognition", arXiv 2005.08100;
    torchaudio.models.Conformer with use_group_norm=True.

    Example:
        >>> conformer = Conformer(8, heads=2, feed_forward=16, layers=1, kernel_size=3, dropout=0.0).eval()
        >>> y, lengths = conformer(torch.randn(2, 9, 8), torch.tensor([9, 4]))
        >>> y.shape, lengths.tolist(), bool(y[1, 4:].any())
        (torch.Size([2, 9, 8]), [9, 4], False)
    """

    def __init__(
        self, channels: int, *, heads: int, feed_forward: int, layers: int, kernel_size: int, dropout: float
    ) -> None:
        super().__init__(channels, heads, feed_forward, layers, kernel_size, dropout, use_group_norm=True)

    def forward(self, input: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        real = torch.arange(input.shape[1], device=input.device) < lengths[:, None]
        x = _at_least_float32(keep(input, real))  # under autocast products are bfloat16, what they add up to is not
        for layer in self.conformer_layers:
            x = _layer(cast(ConformerLayer, layer), x, real)
        return keep(x, real), lengths


def _layer(layer: ConformerLayer, x: Tensor, real: Tensor) -> Tensor:
    x = x + layer.ffn1(x) / 2
    x = x + layer.self_attn_dropout(_attention(layer, x, real))
    x = x + _convolution(layer.conv_module.layer_norm(x), layer.conv_module.sequential, real)
    x = x + layer.ffn2(x) / 2
    return layer.final_layer_norm(x)


def _attention(layer: ConformerLayer, x: Tensor, real: Tensor) -> Tensor:
    x = layer.self_attn_layer_norm(x).transpose(0, 1)
    y, _ = layer.self_attn(x, x, x, key_padding_mask=~real, need_weights=False)
    return y.transpose(0, 1)


def _convolution(x: Tensor, parts: nn.Sequential, real: Tensor) -> Tensor:
    pointwise_in, glu, depthwise, norm, silu, pointwise_out, dropout = parts
    x = glu(pointwise_in(x.transpose(1, 2))).transpose(1, 2)
    x = depthwise(keep(x, real).transpose(1, 2)).transpose(1, 2)
    x = silu(_group_norm(x, cast(nn.GroupNorm, norm), real))
    return dropout(pointwise_out(x.transpose(1, 2))).transpose(1, 2)


def _group_norm(x: Tensor, norm: nn.GroupNorm, real: Tensor) -> Tensor:
    """(x - mean) / sqrt(var + eps), both over the channels of all real frames of a row."""
    x = _at_least_float32(x)
    count = (real.sum(1) * x.shape[2]).clip(min=1)[:, None, None]
    centred = keep(x - keep(x, real).sum((1, 2), keepdim=True) / count, real)
    variance = centred.square().sum((1, 2), keepdim=True) / count
    return centred * (variance + norm.eps).rsqrt() * norm.weight + norm.bias


def _at_least_float32(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
