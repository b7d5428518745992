"""Zero mean and unit variance of a waveform, as many wav2vec 2.0 checkpoints expect it.

y[n] = (x[n] - mean) / sqrt(var + eps)          mean, var over the utterance, or frozen
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from speechconv.checks import check_choice
from speechconv.layout import WAVEFORM
from speechconv.moments import Moments, UtteranceStatistics, Window, moments
from speechconv.plan import Edge, NotStreamable, Plan

Statistics = Literal["utterance", "frozen"]


class Normalize(UtteranceStatistics):
    """Zero mean and unit variance of a waveform.

    Args:
        statistics: "utterance" takes them from each row, valid samples only (it cannot stream); "frozen" uses given
            ones: `Pipeline.calibrate` makes them from audio, and they are saved with the weights.
        eps: added to the variance, > 0.

    Shape:
        (batch, samples) -> (batch, samples)

    Raises:
        ValueError: an argument outside its range; frozen statistics that were never given.

    Source: Wav2Vec2FeatureExtractor of transformers (do_normalize, eps 1e-7); fairseq normalises by a layer norm over
    the samples, eps 1e-5.

    Example:
        >>> Normalize()(torch.tensor([[0.1, 0.2, 0.3, 0.4]])).round(decimals=2)
        tensor([[-1.3400, -0.4500,  0.4500,  1.3400]])
    """

    in_channels = out_channels = WAVEFORM
    window = Window()

    def __init__(self, *, statistics: Statistics = "utterance", eps: float = 1e-7) -> None:
        super().__init__()
        check_choice("statistics", statistics, get_args(Statistics))
        if not eps > 0:
            raise ValueError(f"eps (={eps}) must be > 0.")
        self.statistics: Statistics = statistics
        self.eps = eps
        if statistics == "frozen":
            self._hold(torch.tensor(torch.nan), torch.tensor(torch.nan))

    @property
    def policy(self) -> Statistics:
        return self.statistics

    def freeze(self, moments: Moments) -> None:
        self.statistics = "frozen"
        self._hold(moments.mean[0, 0], moments.covariance[0, 0, 0])

    def valid(self, x: Tensor) -> Tensor:
        return self._normalised(x, *self.frozen)

    def _normalised(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        return ((wide - mean) * torch.rsqrt(variance + self.eps)).to(x.dtype)

    def offline(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        if self.statistics == "frozen":
            return super().offline(x, lengths)
        own = moments(x, self.window, lengths)
        return self._normalised(x, own.mean, own.covariance[:, 0])

    def plan(self, edge: Edge, path: str = "") -> Plan:
        if self.statistics == "utterance":
            raise NotStreamable(
                path,
                "Normalize takes mean and variance from the whole utterance.",
                [
                    "statistics='frozen' with calibrate(audio), and save() for the command line",
                    "a checkpoint that was trained without normalisation",
                ],
            )
        _ = self.frozen  # asks for them now, not in the first step
        return super().plan(edge, path)

    def extra_repr(self) -> str:
        return f"statistics={self.statistics!r}, eps={self.eps}"
