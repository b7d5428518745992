"""What a convolution equals: other convolutions, matrix products and fully connected layers, number by number.

    full convolution      (x * w)[t] = sum_n w[n] x[t - n]         a cross-correlation with w turned round
    matrix product        y = im2col(x) filter_matrix(w)           frames are rows
    fully connected       on each window of the frames             the same matrix
    groups                a standard convolution with zeros outside the blocks
    two, one behind the other, nothing between them                one convolution, its kernel as long as both see

`docs/conv.md` tells what each is good for.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechconv.checks import check_count
from speechconv.conv import Conv1d, convolve, windows_of
from speechconv.layout import pad


def full_convolution(x: Tensor, weight: Tensor) -> Tensor:
    """The convolution of mathematics, which turns the kernel round and keeps every frame that it touches.

        y[t] = sum_n W[:, :, n] x[t - n]

    What networks call a convolution leaves the kernel as it is: a cross-correlation. The two differ by a flip, so a
    filter that is learned comes out turned round, and a filter that is known (an impulse response) must be.

    Shape:
        x (batch, n, in_channels), weight (out_channels, in_channels, k) -> (batch, n + k - 1, out_channels)

    Raises:
        ValueError: frames or filters of other shapes, or that do not fit each other.

    Source: Goodfellow, Bengio and Courville 2016, "Deep learning", equations 9.3 to 9.6.

    Example:
        >>> x = torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1)
        >>> full_convolution(x, torch.tensor([[[1.0, 10.0]]])).flatten().tolist()
        [1.0, 12.0, 23.0, 30.0]
    """
    _check_filters(weight)
    if x.dim() != 3 or x.shape[2] != weight.shape[1]:
        raise ValueError(f"expected frames (batch, n, {weight.shape[1]}) for these filters, got {tuple(x.shape)}.")
    reach = weight.shape[2] - 1
    return convolve(pad(x, reach, reach), weight.flip(2), None)


def im2col(x: Tensor, kernel_size: int, *, stride: int = 1, dilation: int = 1) -> Tensor:
    """The frames under the kernel, side by side in one row for each place of it.

        y = im2col(x, k) @ filter_matrix(weight) + bias

    is the convolution. Where frames lie in memory as they do by default and dilation is 1, the rows are a view of them;
    written out they take k / stride times the memory.

    Args:
        x: (batch, n, channels), n >= (k - 1) dilation + 1.
        kernel_size: taps k, >= 1.
        stride: frames between two rows, >= 1.
        dilation: frames between two taps, >= 1.

    Shape:
        (batch, n, channels) -> (batch, (n - (k - 1) dilation - 1) // stride + 1, k channels), tap by tap

    Raises:
        ValueError: an argument outside its range, or too few frames for one place.

    Source: Chellapilla, Puri and Simard 2006, "High performance convolutional neural networks for document
    processing".

    Example:
        >>> im2col(torch.arange(5).view(1, 5, 1), 3)[0].tolist()
        [[0, 1, 2], [1, 2, 3], [2, 3, 4]]
    """
    check_count("stride", stride)
    span = (check_count("kernel_size", kernel_size) - 1) * check_count("dilation", dilation) + 1
    if x.dim() != 3 or x.shape[1] < span:
        raise ValueError(f"expected frames (batch, n, channels) with n >= {span}, got {tuple(x.shape)}.")
    return windows_of(x, kernel_size, stride, dilation).flatten(2)


def filter_matrix(weight: Tensor) -> Tensor:
    """The filters of a convolution as the columns of the matrix that `im2col`'s rows are multiplied with.

    Shape:
        (out_channels, in_channels, k) -> (k in_channels, out_channels)

    Raises:
        ValueError: filters of another shape.

    Example:
        >>> conv, x = Conv1d(4, 6, 3, stride=2), torch.randn(2, 9, 4)
        >>> torch.allclose(im2col(x, 3, stride=2) @ filter_matrix(conv.weight) + conv.bias, conv(x), atol=1e-6)
        True
    """
    _check_filters(weight)
    return weight.transpose(1, 2).flatten(1).T


def linear_as_conv(linear: nn.Linear, kernel_size: int) -> Conv1d:
    """A fully connected layer on windows of frames, as the convolution that gives the same at each window of a signal.

        linear(x.flatten(1)) = conv(x)[:, 0]        where x has kernel_size frames

    A classifier that was trained on windows, layer by layer turned into convolutions without pads, gives in one forward
    over a long signal what it gives on every window by itself, and computes what the windows share once.

    Args:
        linear: takes kernel_size in_channels numbers: frames flattened, one after another.
        kernel_size: frames of a window, >= 1; 1 for the layers behind the first.

    Returns:
        A convolution of stride 1 without pads, its weights copies, frozen where those of `linear` are.

    Raises:
        TypeError: another module.
        ValueError: an argument outside its range, or a layer whose inputs are not kernel_size frames.

    Source: LeCun et al. 1998, "Gradient-based learning applied to document recognition", section VII; Sermanet et al.
    2013, "OverFeat", arXiv 1312.6229, section 3.5; Long, Shelhamer and Darrell 2014, arXiv 1411.4038, section 3.1.

    Example:
        >>> linear, wav = nn.Linear(5 * 40, 10), torch.randn(1, 100, 40)
        >>> conv = linear_as_conv(linear, 5)
        >>> torch.allclose(conv(wav)[:, 7], linear(wav[:, 7:12].flatten(1)), atol=1e-6)
        True
    """
    if not isinstance(linear, nn.Linear):
        raise TypeError(f"expected a torch.nn.Linear, got {type(linear).__name__}.")
    channels, rest = divmod(linear.in_features, check_count("kernel_size", kernel_size))
    if rest:
        raise ValueError(
            f"a layer of {linear.in_features} inputs takes no whole number of channels from windows of {kernel_size} "
            "frames; give the kernel_size of the windows that it was built for."
        )
    with torch.device("meta"):  # nothing is drawn for weights that are overwritten
        conv = Conv1d(channels, linear.out_features, kernel_size, bias=linear.bias is not None)
    conv = conv.to(linear.weight.dtype).to_empty(device=linear.weight.device)
    with torch.no_grad():
        conv.weight.copy_(linear.weight.unflatten(1, (kernel_size, channels)).transpose(1, 2))
        if conv.bias is not None:
            conv.bias.copy_(linear.bias)
    for ours, theirs in zip(conv.parameters(), linear.parameters(), strict=True):
        ours.requires_grad_(theirs.requires_grad)
    return conv


def dense_filters(weight: Tensor, groups: int) -> Tensor:
    """The filters of a grouped convolution as those of a standard one: zeros where a filter sees no channel.

    Args:
        weight: (out_channels, in_channels / groups, k).
        groups: >= 1; out_channels is divisible by it.

    Shape:
        (out_channels, in_channels / groups, k) -> (out_channels, in_channels, k)

    Raises:
        ValueError: filters of another shape, or groups that do not divide them.

    Source: Krizhevsky, Sutskever and Hinton 2012, "ImageNet classification with deep convolutional neural networks",
    section 3.5.

    Example:
        >>> dense_filters(torch.tensor([[[1.0]], [[2.0]], [[3.0]]]), groups=3).squeeze(2).tolist()
        [[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 3.0]]
    """
    _check_filters(weight)
    if len(weight) % check_count("groups", groups):
        raise ValueError(f"out_channels (={len(weight)}) must be divisible by groups (={groups}).")
    blocks = weight.unflatten(0, (groups, -1))
    return torch.stack([torch.block_diag(*tap.unbind(0)) for tap in blocks.unbind(3)], 2)


def composed_filters(first: Tensor, second: Tensor, *, stride: int = 1) -> Tensor:
    """The filters of the one convolution that equals two without pads, one behind the other with nothing between them.

        W[o, c, i + s j] = sum over h and all such i, j of W2[o, h, j] W1[h, c, i]

    So depth without a nonlinearity adds no function, only another price. A depthwise convolution and the pointwise one
    behind it are this too: filters of rank 1 for each pair of channels.

    Args:
        first: (hidden_channels, in_channels, k1), the nearer to the signal.
        second: (out_channels, hidden_channels, k2).
        stride: of the first convolution, >= 1; that of the whole is the product of both.

    Shape:
        first, second -> (out_channels, in_channels, k1 + (k2 - 1) stride), as `Geometry.then` has it

    Raises:
        ValueError: a stride below 1, or filters of another shape, or that do not fit each other.

    Example:
        >>> smooth = torch.tensor([[[1.0, 1.0]]])
        >>> composed_filters(smooth, composed_filters(smooth, smooth)).flatten().tolist()
        [1.0, 3.0, 3.0, 1.0]
    """
    _check_filters(first)
    _check_filters(second)
    if second.shape[1] != len(first):
        raise ValueError(f"the second convolution takes {second.shape[1]} channels and the first gives {len(first)}.")
    return F.conv_transpose1d(second, first, stride=check_count("stride", stride))


def _check_filters(weight: Tensor) -> None:
    if weight.dim() != 3:
        raise ValueError(f"expected filters (out_channels, in_channels, k), got {tuple(weight.shape)}.")
