"""Kaldi's short-time spectrum: every frame loses its own mean and is pre-emphasised before the window.

    f[n] = scale x[t hop + n - pad] + dither z[t, n]        n = 0 ... win_length - 1
    g[n] = f[n] - mean(f)
    h[n] = g[n] - preemphasis g[max(n - 1, 0)]
    X[t, k] = sum_n w[n] h[n] e^(-2 pi i k n / n_fft)       zeros from win_length to n_fft

Mel(scale="kaldi", norm=None) and Log(floor=2^-23) behind it make Kaldi's fbank.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from speechconv.checks import check_choice, check_count, check_flag, check_number, check_unit_interval
from speechconv.exact import ExactConstants
from speechconv.frontend.dither import WORD, normal_noise
from speechconv.frontend.spectrum import TILE_SAMPLES, modulus, transform, wide
from speechconv.geometry import Geometry, Mirror
from speechconv.layout import WAVEFORM
from speechconv.plan import Clock, Plan, State

KaldiWindow = Literal["povey", "hamming", "hanning", "rectangular", "blackman"]


class KaldiSTFT(ExactConstants):
    """Short-time power or magnitude spectrum as Kaldi computes it.

    Args:
        win_length: samples of a frame, >= 2.
        hop_length: samples between two frames, >= 1; at most win_length unless snip_edges.
        n_fft: samples of the FFT, >= win_length, the frame in front; None: the next power of two.
        window: "povey" (a Hann window to the power 0.85), "hamming", "hanning", "rectangular" or "blackman"; all are
            symmetric.
        remove_dc_offset: subtract each frame's own mean.
        preemphasis: 0 ... 1; the first sample of a frame stands for the one before it.
        scale: factor of the input. Kaldi expects samples as large as 16-bit integers, hence 2^15 for -1 ... 1; 1.0
            where the input is so large already, or where features are wanted as of unscaled samples.
        dither: standard deviation of the noise that is added to each frame, in units of the *scaled* signal: 1.0 is
            Kaldi's own default, about the last bit of 16. 0 adds none.
        seed: of the dither, 0 ... 2^32 - 1. The noise depends on it, the frame's index and the sample's place alone.
        snip_edges: only whole frames; False: samples / hop_length frames, rounded, of which the outer ones see the
            signal mirrored at its ends, again and again where it is short (first stage only).
        output: "power" or "magnitude".

    Shape:
        (batch, samples) -> (batch, frames, n_fft // 2 + 1); frames = 1 + (samples - win_length) // hop_length, none for
        a shorter signal; with snip_edges=False (samples + hop_length // 2) // hop_length

    Raises:
        ValueError: an argument outside its range.

    Computed in float32 at least; float16 cannot hold the power of loud scaled signals (bfloat16 can). The magnitude's
    gradient at digital silence is 0. The index of a live stream's frames, and with it the dither, stands still after
    2^30 samples.

    Source: Kaldi, feat/feature-window.cc; torchaudio.compliance.kaldi.

    Example:
        >>> stft = KaldiSTFT()
        >>> stft(torch.zeros(1, 16000)).shape
        torch.Size([1, 98, 257])
        >>> KaldiSTFT(snip_edges=False)(torch.zeros(1, 16000)).shape
        torch.Size([1, 100, 257])
    """

    in_channels = WAVEFORM
    unmirrored = ("snip_edges=True",)

    def __init__(
        self,
        win_length: int = 400,
        *,
        hop_length: int = 160,
        n_fft: int | None = None,
        window: KaldiWindow = "povey",
        remove_dc_offset: bool = True,
        preemphasis: float = 0.97,
        scale: float = 32768.0,
        dither: float = 0.0,
        seed: int = 0,
        snip_edges: bool = True,
        output: Literal["power", "magnitude"] = "power",
    ) -> None:
        super().__init__()
        win_length, hop_length = check_count("win_length", win_length, 2), check_count("hop_length", hop_length)
        n_fft = 1 << (win_length - 1).bit_length() if n_fft is None else check_count("n_fft", n_fft)
        if n_fft < win_length:
            raise ValueError(f"n_fft (={n_fft}) must not be below win_length (={win_length}).")
        check_choice("window", window, get_args(KaldiWindow))
        check_flag("remove_dc_offset", remove_dc_offset)
        check_flag("snip_edges", snip_edges)
        check_choice("output", output, ("power", "magnitude"))
        check_unit_interval("preemphasis", preemphasis)
        check_number("scale", scale, above=0)
        check_number("dither", dither, least=0)
        if check_count("seed", seed, 0) >= WORD:
            raise ValueError(f"seed (={seed}) must be below 2^32.")
        self.win_length, self.hop_length, self.n_fft, self.window = win_length, hop_length, n_fft, window
        self.remove_dc_offset, self.preemphasis, self.scale = remove_dc_offset, preemphasis, scale
        self.dither, self.seed, self.snip_edges, self.output = dither, seed, snip_edges, output
        self.geometry = kaldi_geometry(win_length, hop_length, snip_edges=snip_edges)
        self.tile = None if dither else max(1, TILE_SAMPLES // n_fft)  # a tile does not know its frames' indices
        self.out_channels = n_fft // 2 + 1
        scaled = scale * kaldi_window(window, win_length)
        self.register_exact("scaled_window", F.pad(scaled, (0, n_fft - win_length)))

    def valid(self, x: Tensor) -> Tensor:
        return self._spectrum(x, torch.zeros(1, dtype=torch.int64, device=x.device))

    def step(self, x: Tensor, state: State, plan: Plan, clock: Clock) -> tuple[Tensor, State]:
        joined, state = self.joined(x, state, plan, clock)
        return self._spectrum(joined, plan.out.first_index(clock)), state

    def _spectrum(self, x: Tensor, first: Tensor) -> Tensor:
        """`valid`, where the first frame of each row has the index `first`, (batch,) or (1,)."""
        frames = wide(x).unfold(1, self.win_length, self.hop_length)
        if self.dither:
            frames = (frames + self._noise(first, frames)).contiguous()  # one order of summation, so one mean
        if self.remove_dc_offset:
            frames = frames - frames.mean(2, keepdim=True)
        begun = (1 - self.preemphasis) * frames[..., :1]
        risen = torch.sub(frames[..., 1:], frames[..., :-1], alpha=self.preemphasis)
        zeros = risen.new_zeros(()).expand(*risen.shape[:2], self.n_fft - self.win_length)
        whole = torch.cat((begun, risen, zeros), 2)
        spectrum = transform(whole.mul_(self.exact("scaled_window")), self.n_fft)
        return modulus(spectrum, self.output).to(x.dtype)

    def _noise(self, first: Tensor, frames: Tensor) -> Tensor:
        """In units of the signal before `scale`."""
        index = first[:, None] + torch.arange(frames.shape[1], device=frames.device)
        return normal_noise(self.seed, index, self.win_length).to(frames.dtype) * (self.dither / self.scale)

    def extra_repr(self) -> str:
        return (
            f"{self.win_length}, hop_length={self.hop_length}, n_fft={self.n_fft}, window={self.window!r}, "
            f"remove_dc_offset={self.remove_dc_offset}, preemphasis={self.preemphasis}, scale={self.scale}, "
            f"dither={self.dither}, seed={self.seed}, snip_edges={self.snip_edges}, output={self.output!r}"
        )


def kaldi_geometry(win_length: int, hop_length: int, *, snip_edges: bool) -> Geometry:
    """Frames of `win_length` samples as Kaldi lays them.

    Without snip_edges, frame t is centred on the middle of its hop, so it starts at sample t hop + hop // 2 -
    win_length // 2, and there are as many as hops, rounded.

    Raises:
        ValueError: hops longer than a frame, without snip_edges.

    >>> kaldi_geometry(400, 160, snip_edges=False).num_frames(16000)
    100
    """
    if snip_edges:
        return Geometry(win_length, hop_length)
    if hop_length > win_length:
        raise ValueError(f"snip_edges=False needs hop_length (={hop_length}) <= win_length (={win_length}).")
    left = win_length // 2 - hop_length // 2
    right = win_length - hop_length + hop_length // 2 - left
    return Geometry(win_length, hop_length, left, right, mirror=Mirror(left, right, "symmetric"))


def kaldi_window(window: KaldiWindow, win_length: int) -> Tensor:
    """A window of Kaldi's by name, symmetric, float64.

    >>> kaldi_window("hanning", 5)
    tensor([0.0000, 0.5000, 1.0000, 0.5000, 0.0000], dtype=torch.float64)
    """
    phase = torch.arange(win_length, dtype=torch.float64) * (2 * math.pi / (win_length - 1))
    match window:
        case "povey":
            return (0.5 - 0.5 * phase.cos()).pow(0.85)
        case "hamming":
            return 0.54 - 0.46 * phase.cos()
        case "hanning":
            return 0.5 - 0.5 * phase.cos()
        case "blackman":
            return 0.42 - 0.5 * phase.cos() + 0.08 * (2 * phase).cos()
    return torch.ones_like(phase)
