"""WaveNetEncoder: a WaveNet stack on the samples themselves, then one frame for every hop.

    s    = WaveNetStack(conv(x))                                             samples, causal
    y[t] = W mean(relu(s[n]), n = t hop ... t hop + hop - 1) + b             frames

A 1x1 convolution behind the ReLU commutes with the mean, so W stands behind it, where it costs 1 / hop as much.
"""

from __future__ import annotations

from torch import Tensor, nn

from speechconv.checks import check_count
from speechconv.combine import Sequential
from speechconv.conv import Conv1d
from speechconv.geometry import Geometry
from speechconv.layer import Layer
from speechconv.layers.wavenet import DILATIONS, WaveNetStack
from speechconv.layout import WAVEFORM


class WaveNetEncoder(Sequential):
    """Frames of a waveform by WaveNet's dilated convolutions at the sample rate and mean pooling.

    Args:
        channels: of a frame, >= 1.
        residual_channels: of the stack's residual and skip paths, >= 1.
        kernel_size: taps of the first convolution and of the dilated ones, >= 2.
        dilations: samples between two taps, layer by layer, each >= 1; repeat them for several stacks.
        hop_length: samples that become one frame, >= 1.

    Shape:
        (batch, samples) -> (batch, samples // hop_length, channels)

    Raises:
        ValueError: an argument outside its range.

    Frame t is complete with its last sample, (t + 1) hop_length: hop_length - 1 samples of lookahead. Its parts are
    `samples`, `conv`, `stack`, `relu`, `pool` and `projection`. Put `MuLaw` before it for companded input.

    Source: van den Oord et al. 2016, "WaveNet", arXiv 1609.03499, section 3.4 (mean pooling behind the dilated
    convolutions, for speech recognition); Engel et al. 2017, arXiv 1704.01279, section 2.1 (the same as an encoder).

    Example:
        >>> import torch
        >>> encoder = WaveNetEncoder(channels=256, residual_channels=8)
        >>> encoder(torch.zeros(1, 16000)).shape, encoder.geometry.receptive_field, encoder.geometry.lookahead
        (torch.Size([1, 25, 256]), 1664, 639)
    """

    def __init__(
        self,
        *,
        channels: int = 256,
        residual_channels: int = 64,
        kernel_size: int = 2,
        dilations: tuple[int, ...] = DILATIONS,
        hop_length: int = 640,
    ) -> None:
        super().__init__()
        stack = WaveNetStack(
            check_count("residual_channels", residual_channels), kernel_size=kernel_size, dilations=dilations
        )
        self.channels, self.hop_length = check_count("channels", channels), check_count("hop_length", hop_length)
        self.residual_channels, self.kernel_size, self.dilations = stack.channels, stack.kernel_size, stack.dilations
        self._chain(
            {
                "samples": OneChannel(),
                "conv": Conv1d(1, self.residual_channels, self.kernel_size, padding="causal"),
                "stack": stack,
                "relu": nn.ReLU(),
                "pool": MeanPool(self.hop_length),
                "projection": nn.Linear(self.residual_channels, self.channels),
            }
        )


class OneChannel(Layer):
    """A waveform as frames of one channel, (batch, samples) -> (batch, samples, 1)."""

    in_channels = WAVEFORM
    out_channels = 1

    def valid(self, x: Tensor) -> Tensor:
        return x[..., None]


class MeanPool(Layer):
    """The mean of every `hop_length` frames, (batch, frames, channels) -> (batch, frames // hop_length, channels)."""

    def __init__(self, hop_length: int) -> None:
        super().__init__()
        self.hop_length = check_count("hop_length", hop_length)
        self.geometry = Geometry(receptive_field=hop_length, stride=hop_length)

    def valid(self, x: Tensor) -> Tensor:
        frames = x.shape[1] // self.hop_length
        return x[:, : frames * self.hop_length].unflatten(1, (frames, self.hop_length)).mean(2)
