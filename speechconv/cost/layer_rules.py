"""Rules of speechconv's own layers: what forward on a whole signal multiplies."""

from __future__ import annotations

import math
from math import prod

from speechconv.conv import Conv1d
from speechconv.cost.rules import Shape, Work, rule
from speechconv.cumulative import CumulativeNorm
from speechconv.frontend.kaldi import KaldiSTFT
from speechconv.frontend.minimum_length import MinimumLength
from speechconv.frontend.mulaw import MuLaw
from speechconv.frontend.normalize import Normalize
from speechconv.frontend.preemphasis import Preemphasis
from speechconv.frontend.stft import ConvSTFT
from speechconv.frontend.wavenet import MeanPool, OneChannel
from speechconv.layers import pcen
from speechconv.layers.affine import Affine
from speechconv.layers.cepstrum import DCT, Lifter
from speechconv.layers.cmvn import CMVN, SlidingCMVN
from speechconv.layers.deltas import Deltas
from speechconv.layers.dynamic_range import DynamicRange
from speechconv.layers.mel import Log, Mel
from speechconv.layers.pcen import PCEN
from speechconv.layers.positional import ConvPositionalEmbedding
from speechconv.layers.stack import StackFrames
from speechconv.layers.subsampling import PlanarConv
from speechconv.moments import Window
from speechconv.norm import BatchNorm, LayerNorm


@rule(Conv1d)
def _(layer: Conv1d, x: Shape, y: Shape) -> Work:
    return Work(conv_products(layer, prod(y)))


def conv_products(conv: Conv1d, values: int) -> int:
    """Multiply-adds for so many output values; of sizes alone, as reading a weight may mean to compute it."""
    channels = conv.in_channels or 0  # a convolution's is a number
    return values * (channels // conv.groups) * conv.kernel_size


@rule(PlanarConv)
def _(layer: PlanarConv, x: Shape, y: Shape) -> Work:
    conv = layer.conv
    return Work(prod(y) * (conv.in_channels // conv.groups) * prod(conv.kernel_size))


@rule(ConvPositionalEmbedding)
def _(layer: ConvPositionalEmbedding, x: Shape, y: Shape) -> Work:
    """The convolution, then GELU."""
    products = prod(y) * (layer.channels // layer.groups) * layer.kernel_size
    return Work(products, tensors=(prod(y), prod(y)))


@rule(Mel, DCT)
def _(layer: Mel | DCT, x: Shape, y: Shape) -> Work:
    """A dense product, the zeros of the triangles included."""
    return Work(prod(y) * x[-1])


@rule(ConvSTFT)
def _(layer: ConvSTFT, x: Shape, y: Shape) -> Work:
    """Learned filters are a dense product; an STFT by FFT is not."""
    tensors = (2 * prod(y),) if layer.output == "complex" else None
    if layer.learn in (None, "window"):
        return Work(transforms=y[0] * fft_multiply_adds(layer.n_fft), tensors=tensors)
    return Work(y[0] * 2 * layer.num_bins * layer.n_fft, tensors=tensors)


@rule(KaldiSTFT)
def _(layer: KaldiSTFT, x: Shape, y: Shape) -> Work:
    return Work(transforms=y[0] * fft_multiply_adds(layer.n_fft))


def fft_multiply_adds(n_fft: int) -> int:
    """Of one real FFT: 2.5 n log2 n floating-point operations, two of which are a multiply-add; rounded up.

    The count of the radix-2 algorithm, by which benchFFT compares transforms of any length.

    Source: Frigo and Johnson 2005, "The design and implementation of FFTW3", section V.

    >>> fft_multiply_adds(512)
    5760
    """
    return math.ceil(1.25 * n_fft * math.log2(n_fft))


@rule(Deltas)
def _(layer: Deltas, x: Shape, y: Shape) -> Work:
    """Each window with each derivative's kernel; "librosa-interp" looks at windows past both ends too."""
    windows = y[0] and y[0] + 2 * (layer.geometry.pad_left - layer.side)
    return Work(windows * x[-1] * layer.order * (2 * layer.side + 1))


@rule(PCEN)
def _(layer: PCEN, x: Shape, y: Shape) -> Work:
    """The smoother, as triangular products of whole blocks of frames."""
    blocks, rest = divmod(x[0], pcen.BLOCK)
    return Work(x[-1] * (blocks * pcen.BLOCK**2 + rest**2))


@rule(Normalize)
def _(layer: Normalize, x: Shape, y: Shape) -> Work:
    return Work(moment_products(layer.window, x[0]) if layer.policy == "utterance" else 0)


def moment_products(window: Window, samples: int) -> int:
    """Multiply-adds of the scatter matrices of a waveform's windows; of one window of zeros where there is none."""
    windows = max(1, (samples - window.size) // window.stride + 1)
    return windows * window.size**2


@rule(
    Affine,
    BatchNorm,
    CMVN,
    CumulativeNorm,
    DynamicRange,
    LayerNorm,
    Lifter,
    Log,
    MeanPool,
    MinimumLength,
    MuLaw,
    Preemphasis,
    SlidingCMVN,
)
def _(layer: object, x: Shape, y: Shape) -> Work:
    """Value by value, or sums: no products."""
    return Work()


@rule(OneChannel, StackFrames)
def _(layer: object, x: Shape, y: Shape) -> Work:
    """The same values under another shape."""
    return Work(tensors=())
