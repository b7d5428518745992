"""What a convolution gives and costs, in exact integers: sizes, parameters, multiply-adds, receptive fields.

C channels come in and N go out, a kernel has K taps (k1 k2 of an image), T places come out, in g groups:

    output size      T = (size + l + r - (k - 1) d - 1) // s + 1

                     weights       biases    multiply-adds
    standard         C N K         N         C N K T
    grouped          C N K / g     N         C N K T / g
    depthwise        C K           C         C K T            g = N = C
    pointwise        C N           N         C N T            K = 1
    separable        C K + C N     C + N     (C K + C N) T    depthwise, then pointwise

    receptive field  R = 1 + sum (k_i - 1) d_i      of layers of stride 1; `Geometry.then` composes any

A fully connected layer is the convolution whose kernel is as large as its input, at one place. A bias is added, not
multiplied. `speechconv.describe` counts a whole module; these are the formulas by themselves.
"""

from __future__ import annotations

import math

from speechconv.checks import check_count, check_flag
from speechconv.geometry import Geometry, Padding, resolve_padding

Counts = int | tuple[int, ...]
"""One for each axis; an int is one axis: frames."""


def output_size(size: int, kernel_size: int, *, stride: int = 1, dilation: int = 1, padding: Padding = "valid") -> int:
    """Places of a kernel along one axis: (size + l + r - (k - 1) d - 1) // s + 1, and none where that is negative.

    Args:
        size: frames, samples or pixels along the axis, >= 0.
        kernel_size: taps k, >= 1.
        stride: s, >= 1.
        dilation: d, >= 1.
        padding: "valid", "causal", "same" or (left, right), as for `Conv1d`.

    Raises:
        ValueError: an argument outside its range.

    Source: Dumoulin and Visin 2016, "A guide to convolution arithmetic for deep learning", arXiv 1603.07285,
    relationships 6 and, with dilation, 15.

    Example:
        >>> output_size(227, 11, stride=4), output_size(100, 3, stride=2, padding="same")
        (55, 50)
    """
    span = (check_count("kernel_size", kernel_size) - 1) * check_count("dilation", dilation) + 1
    geometry = Geometry(span, check_count("stride", stride), *resolve_padding(padding, span))
    return geometry.num_frames(check_count("size", size, 0))


def conv_parameters(
    in_channels: int, out_channels: int, kernel_size: Counts, *, groups: int = 1, bias: bool = True
) -> int:
    """C N K / groups weights, and N biases.

    Args:
        in_channels: C, >= 1; divisible by `groups`.
        out_channels: N, >= 1; divisible by `groups`.
        kernel_size: taps, >= 1; of an image (3, 3).
        groups: independent groups of channels, >= 1; C of them, with N = C, are a depthwise convolution.
        bias: whether each output channel has one.

    Raises:
        ValueError: an argument outside its range.

    Example:
        >>> conv_parameters(512, 512, 3), conv_parameters(512, 512, 3, groups=512), conv_parameters(512, 512, 1)
        (786944, 2048, 262656)
        >>> conv_parameters(3, 96, (11, 11)), conv_parameters(512, 4096, (7, 7), bias=False)  # AlexNet, VGG-16
        (34944, 102760448)
    """
    _check_channels(in_channels, out_channels, groups)
    check_flag("bias", bias)
    weights = in_channels * out_channels // groups * _product("kernel_size", kernel_size)
    return weights + out_channels * bias


def conv_multiply_adds(
    in_channels: int, out_channels: int, kernel_size: Counts, frames: Counts, *, groups: int = 1
) -> int:
    """C N K / groups for each of the places that come out: every weight is used once at each.

    Args:
        in_channels, out_channels, kernel_size, groups: as for `conv_parameters`.
        frames: that come out, >= 0; of an image (height, width). See `output_size`.

    Raises:
        ValueError: an argument outside its range.

    Example:
        >>> conv_multiply_adds(512, 512, 3, output_size(3199, 3, stride=2))  # wav2vec 2.0's second layer, a second
        1257504768
    """
    weights = conv_parameters(in_channels, out_channels, kernel_size, groups=groups, bias=False)
    return weights * _places(frames, kernel_size)


def separable_parameters(in_channels: int, out_channels: int, kernel_size: Counts, *, bias: bool = True) -> int:
    """C K weights that filter each channel by itself, C N that mix them; C + N biases.

    Args:
        in_channels, out_channels, kernel_size: as for `conv_parameters`.
        bias: whether both convolutions have one.

    Raises:
        ValueError: an argument outside its range.

    Source: Howard et al. 2017, "MobileNets", arXiv 1704.04861, section 3.1; Chollet 2016, "Xception", arXiv 1610.02357.

    Example:
        >>> conv_parameters(64, 128, (3, 3)), separable_parameters(64, 128, (3, 3))
        (73856, 8960)
    """
    depthwise = conv_parameters(in_channels, in_channels, kernel_size, groups=in_channels, bias=bias)
    return depthwise + conv_parameters(in_channels, out_channels, 1, bias=bias)


def separable_multiply_adds(in_channels: int, out_channels: int, kernel_size: Counts, frames: Counts) -> int:
    """(C K + C N) T: a standard convolution's times 1 / N + 1 / K.

    Args:
        in_channels, out_channels, kernel_size, frames: as for `conv_multiply_adds`.

    Raises:
        ValueError: an argument outside its range.

    Source: as for `separable_parameters`.

    Example:
        >>> conv_multiply_adds(512, 512, (3, 3), (14, 14)) / separable_multiply_adds(512, 512, (3, 3), (14, 14))
        8.844529750479847
    """
    weights = separable_parameters(in_channels, out_channels, kernel_size, bias=False)
    return weights * _places(frames, kernel_size)


def stack_receptive_field(kernel_size: int, layers: int, *, growth: int = 1, stacks: int = 1) -> int:
    """Frames that one frame behind a stack sees, its dilations 1, g, g^2, ..., g^(layers - 1), the whole repeated.

        R = 1 + stacks (k - 1) (g^layers - 1) / (g - 1)        and, where g = 1, 1 + stacks (k - 1) layers

    So R grows with depth linearly for g = 1 and exponentially for g >= 2. WaveNet doubles (g = 2); at g = k it is
    k^layers: each frame seen reaches the output by one path, none is missed and none is met twice. A g above k leaves
    gaps. One stack of strides g instead of dilations sees as much, and gives one frame every g^layers.

    Args:
        kernel_size: taps k of every layer, >= 1.
        layers: of one stack, >= 1.
        growth: g, the dilation of a layer over that of the one before it, >= 1.
        stacks: how often the layers follow each other, >= 1.

    Raises:
        ValueError: an argument outside its range.

    Source: van den Oord et al. 2016, "WaveNet", arXiv 1609.03499, section 2.1; Yu and Koltun 2015, arXiv 1511.07122.

    Example:
        >>> stack_receptive_field(2, 10), stack_receptive_field(2, 10, growth=2), stack_receptive_field(3, 5, growth=3)
        (11, 1024, 243)
    """
    taps, layers = check_count("kernel_size", kernel_size) - 1, check_count("layers", layers)
    growth, stacks = check_count("growth", growth), check_count("stacks", stacks)
    dilations = layers if growth == 1 else (growth**layers - 1) // (growth - 1)
    return 1 + stacks * taps * dilations


def _check_channels(in_channels: int, out_channels: int, groups: int) -> None:
    check_count("groups", groups)
    for name, value in (("in_channels", in_channels), ("out_channels", out_channels)):
        if check_count(name, value) % groups:
            raise ValueError(f"{name} (={value}) must be divisible by groups (={groups}).")


def _places(frames: Counts, kernel_size: Counts) -> int:
    """How many; a kernel of more than one tap has an axis for each of theirs, for 3 alone may be meant as 3 x 3."""
    axes = len(frames) if isinstance(frames, tuple) else 1
    if axes > 1 and kernel_size != 1 and (not isinstance(kernel_size, tuple) or len(kernel_size) != axes):
        raise ValueError(
            f"kernel_size (={kernel_size!r}) must have an axis for each of frames (={frames!r}): {axes} integers, as "
            "(3, 3) for an image."
        )
    return _product("frames", frames, least=0)


def _product(name: str, counts: Counts, least: int = 1) -> int:
    if counts == ():
        raise ValueError(f"{name} (=()) must have one integer for each axis, or be one.")
    if isinstance(counts, tuple):
        return math.prod(check_count(f"{name}[{i}]", count, least) for i, count in enumerate(counts))
    return check_count(name, counts, least)
