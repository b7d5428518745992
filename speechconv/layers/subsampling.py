"""Strided convolutional subsampling: several frames in, one out, before the layers that are costly per frame.

    conv1d      y = [ReLU . conv_3 / 2]^n (x)                                   over frames
    conv2d      y = W flatten([ReLU . conv_3x3 / 2]^n (x)) + b                  over the (frame, mel) plane
    depthwise   the same, but behind the first step conv_3x3 is a filter per plane, then 1x1

n = log2(factor) steps. A plane's frame holds its filters after one another, each with all its mel bands.
"""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor, nn

from speechconv.checks import check_choice, check_count
from speechconv.combine import Sequential
from speechconv.conv import Conv1d
from speechconv.geometry import Geometry, resolve_padding
from speechconv.layer import Layer

KERNEL_SIZE, STRIDE = 3, 2

Kind = Literal["conv1d", "conv2d", "depthwise"]
Ends = Literal["same", "causal"]


class ConvSubsampling(Sequential):
    """Strided subsampling of frames, as Conformer and other encoders begin; its parts are numbered as they run.

    Args:
        channels: of the output, and of every step, >= 1.
        in_channels: of the input, >= 1; with the 2-D kinds mel bands, lowest first.
        factor: frames that become one, a power of two >= 2; each step halves their number.
        kind: "conv1d" (frames are vectors); "conv2d" (3 x 3 over frames and mel bands, then a projection); or
            "depthwise" (the same with separable convolutions behind the first step).
        padding: zero frames of each step: "same", one on each side, or "causal", two on the left.

    Shape:
        (batch, frames, in_channels) -> (batch, ceil(frames / factor), channels)

    Raises:
        ValueError: an argument outside its range.

    Over the mel axis the 2-D kinds pad one zero band on each side, as NeMo does: 80 bands become 40, then 20. (WeNet
    and ESPnet pad neither axis: 39, then 19, and fewer frames.) With padding="same", "conv2d" is NeMo's `striding` and
    "depthwise" its `dw_striding`, conv_channels = feat_out.

    Source: Gulati et al. 2020, "Conformer: convolution-augmented Transformer for speech recognition", arXiv 2005.08100;
    Rekesh et al. 2023, "Fast Conformer", arXiv 2305.05084; NeMo, asr/parts/submodules/subsampling.py.

    Example:
        >>> import torch
        >>> subsampling = ConvSubsampling(144, kind="conv2d")
        >>> subsampling(torch.zeros(1, 98, 80)).shape, subsampling.geometry.lookahead
        (torch.Size([1, 25, 144]), 3)
    """

    def __init__(
        self,
        channels: int,
        *,
        in_channels: int = 80,
        factor: int = 4,
        kind: Kind = "conv1d",
        padding: Ends = "same",
    ) -> None:
        channels, in_channels = check_count("channels", channels), check_count("in_channels", in_channels)
        if check_count("factor", factor, 2) & (factor - 1):
            raise ValueError(f"factor (={factor}) must be a power of two >= 2: each step halves the number of frames.")
        check_choice("kind", kind, get_args(Kind))
        check_choice("padding", padding, get_args(Ends))
        steps = factor.bit_length() - 1
        if kind == "conv1d":
            super().__init__(*_conv1d_steps(steps, in_channels, channels, padding))
        else:
            super().__init__(*_planar_steps(steps, in_channels, channels, padding, depthwise=kind == "depthwise"))
        self.channels, self.in_channels = channels, in_channels
        self.factor, self.kind, self.padding = factor, kind, padding


def _conv1d_steps(steps: int, in_channels: int, channels: int, padding: Ends) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for _ in range(steps):
        layers += [Conv1d(in_channels, channels, KERNEL_SIZE, stride=STRIDE, padding=padding), nn.ReLU()]
        in_channels = channels
    return layers


def _planar_steps(steps: int, bands: int, filters: int, padding: Ends, *, depthwise: bool) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for number in range(steps):
        separable = depthwise and number > 0
        groups = filters if separable else 1
        conv = PlanarConv(1 if number == 0 else filters, filters, bands=bands, groups=groups, padding=padding)
        bands = conv.bands_after
        pointwise = [PlanarConv(filters, filters, bands=bands, kernel_size=1, stride=1)] if separable else []
        layers += [conv, *pointwise, nn.ReLU()]
    return [*layers, nn.Linear(filters * bands, filters)]


class PlanarConv(Layer):
    """A 2-D convolution over the plane of frames and mel bands, on frames that hold filters x bands flattened.

    Args:
        in_filters, out_filters: channels of the 2-D convolution, >= 1, divisible by `groups`.
        bands: mel bands that come in, >= 1.
        kernel_size: along both axes, odd.
        stride: along both axes, >= 1.
        groups: independent groups of filters.
        padding: along the frames, as `Conv1d`'s; over the bands always kernel_size // 2 zeros on each side.

    Attributes:
        bands_after: mel bands that go out, ceil(bands / stride).

    Shape:
        (batch, frames, in_filters * bands) -> (batch, geometry.num_frames(frames), out_filters * bands_after)

    Example:
        >>> import torch
        >>> conv = PlanarConv(1, 32, bands=80, padding="causal")
        >>> conv(torch.zeros(1, 9, 80)).shape, conv.bands_after
        (torch.Size([1, 5, 1280]), 40)
    """

    def __init__(
        self,
        in_filters: int,
        out_filters: int,
        *,
        bands: int,
        kernel_size: int = KERNEL_SIZE,
        stride: int = STRIDE,
        groups: int = 1,
        padding: Ends = "same",
    ) -> None:
        super().__init__()
        self.in_filters, self.bands = in_filters, bands
        self.bands_after = -(-bands // stride)
        self.in_channels, self.out_channels = in_filters * bands, out_filters * self.bands_after
        self.geometry = Geometry(kernel_size, stride, *resolve_padding(padding, kernel_size))
        self.conv = nn.Conv2d(
            in_filters, out_filters, kernel_size, stride=stride, padding=(0, kernel_size // 2), groups=groups
        )

    def valid(self, x: Tensor) -> Tensor:
        planes = x.unflatten(2, (self.in_filters, self.bands)).transpose(1, 2)
        return self.conv(planes).transpose(1, 2).flatten(2)
