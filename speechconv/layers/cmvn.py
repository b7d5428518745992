"""Mean and variance normalisation of each channel over time: of the utterance, given, or of Kaldi's sliding window.

    y[t, c] = (x[t, c] - mean[c]) / sqrt(var[c] + eps)        or, with eps beside the deviation,  / (sqrt(var[c]) + eps)

The sliding window of frame t in a signal of T frames is [a, b), W its length:

    causal      a = max(0, t - W)         b = max(t + 1, min_window)
    centred     a = t - W // 2            b = a + W, moved right until a >= 0
    both        where b > T it is moved left until b = T, and cut at 0
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor

from speechconv.checks import check_choice, check_count, check_flag, check_number
from speechconv.geometry import Geometry
from speechconv.layer import Layer
from speechconv.layout import check_real, zero_past
from speechconv.moments import Moments, UtteranceStatistics, Window
from speechconv.plan import Clock, Edge, Memory, NotStreamable, Plan, State
from speechconv.stores.statistics_file import Numbers, read_statistics

Statistics = Literal["utterance", "frozen"]
VARIANCE_FLOOR = 1e-10
"""Kaldi's, of the sliding window."""


class CMVN(UtteranceStatistics):
    """Zero mean, and unit variance, of each channel over an utterance or by given statistics.

    Args:
        channels: of a frame, >= 1.
        statistics: "utterance" takes them from each row, valid frames only (it cannot stream); "frozen" uses given:
            `Pipeline.calibrate` makes them from audio, and they are saved with the weights. None: "frozen" with a file,
            else "utterance".
        norm_vars: divide by the deviation too; False takes the mean off alone.
        correction: taken off the number of frames that the variance is divided by: 0, or 1 (unbiased).
        eps: added to the variance, or to the deviation, > 0.
        eps_on: "variance" or "deviation".
        file: that holds frozen statistics (`speechconv stats`, or Kaldi's compute-cmvn-stats). It is read now, and its
            numbers are saved with the weights: a saved pipeline does not name it, and needs it no more.

    Shape:
        (batch, frames, channels) -> the same

    Raises:
        ValueError: an argument outside its range; frozen statistics that were never given; a file of other channels.
        FileNotFoundError: no such file.

    The statistics are taken in float64. One valid frame gives 0, whatever the correction.

    Source: Kaldi's compute-cmvn-stats and apply-cmvn; SeamlessM4TFeatureExtractor of transformers (correction 1,
    eps 1e-7 on the variance); NeMo's per_feature (correction 1, eps 1e-5 on the deviation).

    Example:
        >>> CMVN(1)(torch.tensor([[[1.0], [2.0], [3.0]]])).flatten().round(decimals=2)
        tensor([-1.2200,  0.0000,  1.2200])
    """

    def __init__(
        self,
        channels: int,
        *,
        statistics: Statistics | None = None,
        norm_vars: bool = True,
        correction: int = 0,
        eps: float = 1e-10,
        eps_on: Literal["variance", "deviation"] = "variance",
        file: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__()
        given = None if file is None else read_statistics(Path(file))
        channels = check_count("channels", channels)
        if statistics is None:
            statistics = "utterance" if given is None else "frozen"
        check_choice("statistics", statistics, get_args(Statistics))
        if given is not None and statistics != "frozen":
            raise ValueError(f"statistics (={statistics!r}) of the utterance need no file; drop one of the two.")
        check_flag("norm_vars", norm_vars)
        check_choice("correction", correction, (0, 1))
        check_choice("eps_on", eps_on, ("variance", "deviation"))
        check_number("eps", eps, above=0)
        self.channels = self.in_channels = self.out_channels = channels
        self.statistics: Statistics = statistics
        self.norm_vars, self.correction, self.eps, self.eps_on = norm_vars, correction, eps, eps_on
        self.window = Window(channels)
        if statistics == "frozen":
            self._hold(torch.full((channels,), torch.nan), torch.full((channels,), torch.nan))
        if given is not None:
            self.hold(given)
            self.to(torch.get_default_dtype())

    @property
    def policy(self) -> Statistics:
        return self.statistics

    def freeze(self, moments: Moments) -> None:
        self.statistics = "frozen"
        frames = (moments.count - self.correction).clip(min=1)
        self._hold(moments.mean[0], moments.scatter[0].diagonal() / frames)

    def hold(self, given: Numbers) -> None:
        """Freeze the statistics that a file holds, in float64 until the layer is cast.

        Raises:
            ValueError: another number of channels.
        """
        if len(given.mean) != self.channels:
            raise ValueError(
                f"the statistics are of {len(given.mean)} channels, the frames have {self.channels}; take them from "
                "features of this pipeline: speechconv stats."
            )
        mean, variance = torch.from_numpy(given.mean), torch.from_numpy(given.variance)
        scatter = (variance * given.count).diag()
        self.freeze(Moments(torch.tensor([float(given.count)], dtype=torch.float64), mean[None], scatter[None]))

    def valid(self, x: Tensor) -> Tensor:
        return self._normalised(x, *self.frozen)

    def offline(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        check_real(x, "CMVN")
        if self.statistics == "frozen":
            return super().offline(x, lengths)
        wide = x.double() if lengths is None else zero_past(x, lengths).double()
        count = torch.full((len(x),), x.shape[1], device=x.device) if lengths is None else lengths
        count = count[:, None, None]
        mean = wide.sum(1, keepdim=True) / count.clip(min=1)
        deviation = wide - mean if lengths is None else zero_past(wide - mean, lengths)
        variance = deviation.square().sum(1, keepdim=True) / (count - self.correction).clip(min=1)
        return self._normalised(x, mean, variance)

    def _normalised(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        centred = x.to(torch.promote_types(x.dtype, mean.dtype)) - mean
        if not self.norm_vars:
            return centred.to(x.dtype)
        if self.eps_on == "variance":
            return (centred / (variance + self.eps).sqrt()).to(x.dtype)
        silent = variance == 0  # the root has no gradient there
        deviation = torch.where(silent, 0.0, torch.where(silent, 1.0, variance).sqrt())
        return (centred / (deviation + self.eps)).to(x.dtype)

    def plan(self, edge: Edge, path: str = "") -> Plan:
        if self.statistics == "utterance":
            raise NotStreamable(
                path,
                "CMVN takes mean and variance from the whole utterance.",
                [
                    "statistics='frozen' with calibrate(audio), and save() for the command line",
                    "SlidingCMVN",
                    "CumulativeNorm",
                ],
            )
        _ = self.frozen  # asks for them now, not in the first step
        return super().plan(edge, path)

    def extra_repr(self) -> str:
        return (
            f"{self.channels}, statistics={self.statistics!r}, norm_vars={self.norm_vars}, "
            f"correction={self.correction}, eps={self.eps}, eps_on={self.eps_on!r}"
        )


class SlidingCMVN(Layer):
    """Zero mean, and unit variance, of each channel in a window of frames around each frame, as Kaldi's
    apply-cmvn-sliding.

    Args:
        window: frames, >= 1. The causal window holds the frame and the `window` ones before it.
        min_window: fewest frames of the causal window, >= 1: the first frames wait for those that come, so a stream is
            late by min_window - 1 frames. Ignored where `center` is set.
        center: a window around the frame, which ends where the signal ends; a stream is late by window - 1 frames.
        norm_vars: divide by the deviation too; a variance below 1e-10 counts as that, and one frame alone gives 0.

    Shape:
        (batch, frames, channels) -> the same

    Raises:
        ValueError: an argument outside its range.

    Source: Kaldi, feat/feature-functions.cc (SlidingWindowCmn).

    Example:
        >>> SlidingCMVN(window=1, min_window=1)(torch.tensor([[[1.0], [3.0], [7.0]]])).flatten()
        tensor([0., 1., 2.])
    """

    def __init__(
        self, *, window: int = 600, min_window: int = 100, center: bool = False, norm_vars: bool = False
    ) -> None:
        super().__init__()
        self.window, self.min_window = check_count("window", window), check_count("min_window", min_window)
        self.center, self.norm_vars = check_flag("center", center), check_flag("norm_vars", norm_vars)
        ahead = window - 1 if center else min_window - 1
        # where the whole signal is shorter than min_window, the window of its last frame reaches back to its first one
        back = window - 1 if center else max(window, min_window - 1)
        self.geometry = Geometry(back + 1 + ahead, pad_left=back, pad_right=ahead)

    def offline(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        if not x.shape[1]:
            return x
        frames = torch.full((len(x),), x.shape[1], device=x.device) if lengths is None else lengths
        y = self._normalise(self.padded(x, lengths), torch.zeros_like(frames), frames)
        return y if lengths is None else zero_past(y, lengths)

    def step(self, x: Tensor, state: State, plan: Plan, clock: Clock) -> tuple[Tensor, State]:
        past = state[0] if state else x[:, :0]
        joined = torch.cat((past, plan.edge.zero_unreal(x, clock)), 1)
        y = self._normalise(joined, plan.out.first_index(clock), plan.edge.total(clock))
        return y, (joined[:, x.shape[1] :],) if state else ()

    def plan(self, edge: Edge, path: str = "") -> Plan:
        size = self.geometry.receptive_field - 1
        memories = (Memory("history", (size, edge.channels)),) if size else ()
        return Plan(self, path, edge, edge.after(self.geometry, edge.channels), memories)

    def _normalise(self, x: Tensor, start: Tensor, total: Tensor) -> Tensor:
        """Frames `start` and on of signals of `total` frames; x begins pad_left frames before them."""
        check_real(x, "SlidingCMVN")
        back = self.geometry.pad_left
        count = x.shape[1] - self.geometry.receptive_field + 1
        number = start[:, None] + torch.arange(count, device=x.device)
        begin, end = self._bounds(number, total[:, None])
        shift = start[:, None] - back  # number of x[:, 0]
        begin, end = ((edge - shift).clip(0, x.shape[1]) for edge in (begin, end))
        frames = (end - begin).clip(min=1)[..., None]
        wide = x.double()
        own = wide[:, back : back + count]
        total_deviation, squares = self._deviations(wide, own, begin, end, shift)
        y = mean = 0.0 - total_deviation / frames  # never -0
        if self.norm_vars:
            variance = squares / frames - mean.square()
            y = torch.where(frames == 1, 0.0, mean * torch.rsqrt(variance.clip(min=VARIANCE_FLOOR)))
        return y.to(x.dtype)

    def _deviations(self, x: Tensor, own: Tensor, begin: Tensor, end: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        """Sums over each frame's window [begin, end) of x less that frame, and of their squares.

        The signal in blocks as long as a window (x[:, 0] is its frame `shift`): a window is the end, or tail, of one
        block and the beginning, or head, of the next. Sums from a block's edge on hold nothing from outside the window:
        what was loud leaves no rounding in what is constant, which the variance's floor would magnify.

        Source: van Herk 1992 and Gil and Werman 1993, for maxima.
        """
        size = self.window if self.center else max(self.window + 1, self.min_window)
        offset = shift % size
        places = torch.arange(-(-x.shape[1] // size) * size + size, device=x.device) - offset
        blocks = _frames(x, places.clip(0, x.shape[1] - 1)).unflatten(1, (-1, size))
        start, stop = (begin + offset), (end + offset - 1)  # first and last frame of each window, among the blocks
        two = (start // size < stop // size)[..., None]
        head_start = torch.maximum(start, stop // size * size)
        whole_head = (head_start % size == 0)[..., None]
        heads, tails = _running(blocks), [part.flip(2) for part in _running(blocks.flip(2))]
        edges = (blocks[:, :, :1].expand_as(blocks), blocks[:, :, -1:].expand_as(blocks))
        head_edge, head, head_squares = (_frames(part.flatten(1, 2), stop) for part in (edges[0], *heads))
        before = [_frames(part.flatten(1, 2), (head_start - 1).clip(min=0)) for part in heads]
        head, head_squares = (
            torch.where(whole_head, whole, whole - less)
            for whole, less in zip((head, head_squares), before, strict=True)
        )
        tail_edge, tail, tail_squares = (_frames(part.flatten(1, 2), start) for part in (edges[1], *tails))
        head_sums = _moved(head, head_squares, (stop - head_start + 1)[..., None], head_edge - own)
        tail_sums = _moved(tail, tail_squares, (head_start - start)[..., None], tail_edge - own)
        total, squares = (a + torch.where(two, b, 0.0) for a, b in zip(head_sums, tail_sums, strict=True))
        return total, squares

    def _bounds(self, number: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
        """First frame of each frame's window, and the one behind its last."""
        if self.center:
            begin = (number - self.window // 2).clip(min=0)
            end = begin + self.window
        else:
            begin = (number - self.window).clip(min=0)
            end = (number + 1).clip(min=self.min_window)
        over = (end - total).clip(min=0)
        return (begin - over).clip(min=0), end - over

    def extra_repr(self) -> str:
        return f"window={self.window}, min_window={self.min_window}, center={self.center}, norm_vars={self.norm_vars}"


def _running(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """Sums from the first frame of each block on of the frames less that first one, and of their squares."""
    deviation = blocks - blocks[:, :, :1]
    return deviation.cumsum(2), deviation.square().cumsum(2)


def _moved(total: Tensor, squares: Tensor, count: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """Sums of `count` deviations and of their squares, about a point that lies `step` below."""
    return total + count * step, squares + 2 * step * total + count * step.square()


def _frames(x: Tensor, index: Tensor) -> Tensor:
    """x[b, index[b, t]]."""
    return x.gather(1, index[..., None].expand(-1, -1, x.shape[2]))
