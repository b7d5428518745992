"""Cepstrum of log-mel bands: discrete cosine transform, and the lifter that weighs its coefficients.

    c[k] = s_k sum_m cos(pi k (m + 1/2) / M) x[m]       s_0 = sqrt(1 / M), s_k = sqrt(2 / M); without norm s_k = 2

Kaldi's first column, sqrt(1 / M), is the orthonormal DCT-II's, so that librosa, torchaudio and Kaldi share one matrix.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from speechconv.checks import check_choice, check_count
from speechconv.exact import ExactConstants
from speechconv.layer import Layer
from speechconv.layout import check_real

LifterKind = Literal["kaldi", "librosa"]


class DCT(ExactConstants):
    """Discrete cosine transform of type II, its first coefficients.

    Args:
        n_mfcc: coefficients that are kept, 1 ... n_mels.
        n_mels: bands that come in.
        norm: "ortho" (rows of unit length), or None (scipy's plain sum, twice the cosines).

    Shape:
        (batch, frames, n_mels) -> (batch, frames, n_mfcc)

    Raises:
        ValueError: an argument outside its range.

    Source: scipy.fft.dct, type 2; Kaldi, matrix/matrix-functions.cc, ComputeDctMatrix.

    Example:
        >>> DCT(3, n_mels=4)(torch.ones(1, 1, 4))  # a flat spectrum has a first coefficient alone
        tensor([[[2., 0., 0.]]])
    """

    def __init__(self, n_mfcc: int = 13, *, n_mels: int, norm: Literal["ortho"] | None = "ortho") -> None:
        super().__init__()
        check_choice("norm", norm, ("ortho", None))
        n_mfcc, n_mels = check_count("n_mfcc", n_mfcc), check_count("n_mels", n_mels)
        if n_mfcc > n_mels:
            raise ValueError(f"n_mfcc (={n_mfcc}) must not be above n_mels (={n_mels}).")
        self.n_mfcc, self.n_mels, self.norm = n_mfcc, n_mels, norm
        self.in_channels, self.out_channels = n_mels, n_mfcc
        self.register_exact("cosines", _dct_matrix(n_mels, ortho=norm == "ortho")[:n_mfcc])

    def valid(self, x: Tensor) -> Tensor:
        check_real(x, "DCT")
        return F.linear(x, self.exact("cosines"))

    def extra_repr(self) -> str:
        return f"{self.n_mfcc}, n_mels={self.n_mels}, norm={self.norm!r}"


class Lifter(Layer):
    """Weighs cepstral coefficients by a raised sine, so that the high ones count as much as the low ones.

        kaldi       1 + c / 2 sin(pi i / c)            i = 0, 1, ...; coefficient 0 keeps its value
        librosa     1 + c / 2 sin(pi (i + 1) / c)

    Args:
        coefficient: c, > 0.
        kind: "kaldi" (HTK's, where i = 0 is the 0th coefficient) or "librosa" (one coefficient further on).

    Shape:
        (batch, frames, channels) -> the same

    Raises:
        ValueError: an argument outside its range.

    Source: Young et al., The HTK Book, 5.6.2; librosa.feature.mfcc.

    Example:
        >>> Lifter()(torch.ones(1, 1, 12))[0, 0, ::11]
        tensor([ 1., 12.])
    """

    def __init__(self, *, coefficient: float = 22.0, kind: LifterKind = "kaldi") -> None:
        super().__init__()
        if not 0 < coefficient < math.inf:
            raise ValueError(f"coefficient (={coefficient}) must be above 0; leave the lifter out to weigh nothing.")
        check_choice("kind", kind, get_args(LifterKind))
        self.coefficient, self.kind = coefficient, kind

    def valid(self, x: Tensor) -> Tensor:
        index = torch.arange(x.shape[2], dtype=torch.float64, device=x.device) + int(self.kind == "librosa")
        weights = 1 + self.coefficient / 2 * torch.sin(math.pi * index / self.coefficient)
        return x * weights.to(x.dtype)

    def extra_repr(self) -> str:
        return f"coefficient={self.coefficient}, kind={self.kind!r}"


def _dct_matrix(size: int, *, ortho: bool) -> Tensor:
    """(size, size) float64; the phase k (2 m + 1) is reduced in integers before it meets floating point."""
    k, m = torch.arange(size)[:, None], torch.arange(size)
    phase = k * (2 * m + 1) % (4 * size)
    cosines = torch.cos(phase.double() * (math.pi / (2 * size)))
    if not ortho:
        return 2 * cosines
    scale = torch.full((size, 1), math.sqrt(2 / size), dtype=torch.float64)
    scale[0] = math.sqrt(1 / size)
    return scale * cosines
