"""Short-time Fourier transform as a convolution that can learn and starts as the Fourier basis.

    X[t, k] = sum_n x[t hop + n - pad] w[n] e^(-2 pi i k n / n_fft)          k = 0 ... n_fft // 2

Every way of learning is a deviation that starts at zero, so each begins as the exact STFT and weight decay leads back
to it:

    "window"   w + d                                    still an STFT, still an rfft
    "freq"     w[n] e^(-2 pi i (k + d_k) n / n_fft)     bins move, in units of one bin
    "delta"    z0 + (|z0_k| / sqrt n_fft) D             free filters, scaled per bin: a step is a relative step
    "free"     z                                        the filters themselves are the parameter
"""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechconv.checks import check_choice, check_count, check_flag, check_number
from speechconv.exact import ExactConstants
from speechconv.frontend.inverse import inverted
from speechconv.frontend.spectrum import TILE_SAMPLES, modulus, transform, wide
from speechconv.frontend.training import Drift, drift, groups_by_meaning, log_kappa
from speechconv.geometry import Geometry, Mirror
from speechconv.layout import WAVEFORM

COSINE_WINDOWS = {"hann": (0.5, -0.5), "hamming": (0.54, -0.46), "blackman": (0.42, -0.5, 0.08)}
"""Coefficients of the windows that most people use, so that a start does not wait for scipy, which knows all others."""

Output = Literal["complex", "magnitude", "power", "real_imag"]
Learn = Literal["window", "freq", "delta", "free"]
PadMode = Literal["constant", "reflect"]
Window = str | tuple[Any, ...]


class ConvSTFT(ExactConstants):
    """Short-time Fourier transform, fixed or learnable; its defaults follow librosa 0.11's conventions.

    Args:
        n_fft: samples of a frame, >= 1; odd ones too.
        hop_length: samples between two frames, >= 1.
        win_length: samples of the window, 1 ... n_fft, centred in the frame; None: n_fft.
        window: a scipy.signal.get_window name, or a tuple such as ("kaiser", 8.0).
        periodic: of win_length samples a period, as librosa's and torch's; False: symmetric, as NeMo's.
        center: pad n_fft // 2 samples on both sides, so that frame t is centred on sample t hop_length.
        pad_mode: what `center` pads: "constant" zeros, or "reflect" (each row mirrored at its own ends; first stage
            only).
        drop_last: leave out the last centred frame, as Whisper and NeMo do: samples // hop_length frames for an even
            n_fft; needs hop_length <= n_fft // 2.
        learn: None (fixed), "window", "freq", "delta" or "free"; see the equations above.
        output: "complex"; "magnitude" and "power", n_fft // 2 + 1 channels; "real_imag", twice as many: all real
            parts, then all imaginary ones.

    Shape:
        (batch, samples) -> (batch, frames, channels); frames = 1 + samples // hop_length for an even, centred n_fft

    Raises:
        ValueError: an argument outside its range.

    Fixed and window-learned kernels go through the FFT, computed in float32 at least. The magnitude's gradient at
    digital silence is 0.

    Source: Allen and Rabiner 1977, "A unified approach to short-time Fourier analysis and synthesis".

    Example:
        >>> stft = ConvSTFT(n_fft=400, hop_length=160, center=False, output="real_imag")
        >>> stft(torch.zeros(1, 16000)).shape
        torch.Size([1, 98, 402])
    """

    in_channels = WAVEFORM
    unmirrored = ("pad_mode='constant'", "center=False")

    def __init__(
        self,
        n_fft: int = 400,
        *,
        hop_length: int = 160,
        win_length: int | None = None,
        window: Window = "hann",
        periodic: bool = True,
        center: bool = True,
        pad_mode: PadMode = "constant",
        drop_last: bool = False,
        learn: Learn | None = None,
        output: Output = "complex",
    ) -> None:
        super().__init__()
        n_fft, hop_length = check_count("n_fft", n_fft), check_count("hop_length", hop_length)
        win_length = None if win_length is None else check_count("win_length", win_length)
        check_flag("periodic", periodic)
        check_flag("center", center)
        check_flag("drop_last", drop_last)
        check_choice("pad_mode", pad_mode, get_args(PadMode))
        check_choice("learn", learn, (None, *get_args(Learn)))
        check_choice("output", output, get_args(Output))
        self.n_fft, self.hop_length, self.win_length = n_fft, hop_length, win_length
        self.window, self.center, self.pad_mode, self.drop_last = window, center, pad_mode, drop_last
        self.periodic, self.learn, self.output = periodic, learn, output
        left, right = self._pads()
        mirror = Mirror(left, right) if pad_mode == "reflect" and (left or right) else None
        self.geometry = Geometry(n_fft, hop_length, left, right, mirror=mirror)
        self.tile = max(1, TILE_SAMPLES // n_fft)
        self.num_bins = n_fft // 2 + 1
        self.out_channels = 2 * self.num_bins if output == "real_imag" else self.num_bins
        length = n_fft if win_length is None else win_length
        self._register_kernels(centred_window(self.window, length, n_fft, periodic=periodic))

    def _pads(self) -> tuple[int, int]:
        """(left, right); without the last centred frame its hop is missing on the right."""
        half = self.n_fft // 2
        if not self.drop_last:
            return (half, half) if self.center else (0, 0)
        if not self.center:
            raise ValueError("drop_last leaves out the last centred frame, so it needs center=True.")
        if self.hop_length > half:
            raise ValueError(
                f"drop_last needs hop_length (={self.hop_length}) <= n_fft // 2 (={half}); with a longer hop the last "
                "frame would be known only after it was due."
            )
        return half, half - self.hop_length

    def _register_kernels(self, window: Tensor) -> None:
        """Constants and parameters of the chosen way of learning; `window` is float64."""
        if self.learn in (None, "window"):
            self.register_exact("analysis_window", window)
            if self.learn:
                self.window_delta = nn.Parameter(torch.zeros(self.n_fft))
            return
        filters = _stack(window * fourier_basis(self.n_fft))
        match self.learn:
            case "freq":
                self.register_exact("initial_filters", filters)
                self.freq_delta = nn.Parameter(torch.zeros(self.num_bins))
            case "delta":
                self.register_exact("initial_filters", filters)
                norms = torch.complex(*filters.chunk(2)).abs().square().mean(1).sqrt()
                self.register_exact("delta_scale", torch.cat((norms, norms))[:, None])
                self.filter_delta = nn.Parameter(torch.zeros(filters.shape))
            case "free":
                self.weight = nn.Parameter(filters.to(torch.get_default_dtype()))

    @property
    def kernel(self) -> Tensor:
        """The filters as they are now, (2 (n_fft // 2 + 1), n_fft): all real parts, then all imaginary ones; float32 at
        least."""
        match self.learn:
            case "freq":
                return _rotate(wide(self.exact("initial_filters")), wide(self.freq_delta))
            case "delta":
                scaled = wide(self.exact("delta_scale")) * wide(self.filter_delta)
                return wide(self.exact("initial_filters")) + scaled
            case "free":
                return wide(self.weight)
        window = self.current_window
        basis = fourier_basis(self.n_fft).to(window.device)
        return _stack(window * basis).to(window.dtype)

    @property
    def current_window(self) -> Tensor:
        """The window as it is now, (n_fft,), of fixed or window-learned kernels; float32 at least."""
        window = wide(self.exact("analysis_window"))
        return window if self.learn is None else window + self.window_delta

    def valid(self, x: Tensor) -> Tensor:
        frames = wide(x).unfold(1, self.n_fft, self.hop_length)
        if self.learn in (None, "window"):
            return self._as_output(transform(frames * self.current_window, self.n_fft), x.dtype)
        with torch.autocast(x.device.type, enabled=False):  # which would make bfloat16 of the spectrum
            return self._as_output(torch.complex(*F.linear(frames, self.kernel).chunk(2, 2)), x.dtype)

    def _as_output(self, spectrum: Tensor, dtype: torch.dtype) -> Tensor:
        match self.output:
            case "complex":
                return spectrum
            case "real_imag":
                return torch.cat((spectrum.real, spectrum.imag), 2).to(dtype)
        return modulus(spectrum, self.output).to(dtype)

    def inverse(self, spectrum: Tensor, length: int | None = None) -> Tensor:
        """The waveform whose spectrum comes nearest, by least squares; learned filters are inverted as they are now.

        Args:
            spectrum: (batch, frames, channels), what output="complex" or "real_imag" gives.
            length: samples to return; None: as many as the frames are sure to stand for, hop_length (frames - 1), one
                more for an odd n_fft, or with center=False all that they hold.

        Shape:
            (batch, frames, channels) -> (batch, length), in the spectrum's type, real; solved in float64

        Raises:
            ValueError: an output without phase; another shape; a bank or a window that loses samples asked for, with
                the condition number.
            TypeError: a spectrum that is not complex for "complex", or not real for "real_imag".

        Differentiable once, with respect to the spectrum and to the filters.

        Example:
            >>> stft, x = ConvSTFT(64, hop_length=16, learn="delta"), torch.randn(1, 160)
            >>> bool(torch.allclose(stft.inverse(stft(x)), x, atol=1e-5))
            True
        """
        return inverted(self, spectrum, length)

    def frame_penalty(self) -> Tensor:
        """log kappa of the bank at its hop: 0 for a tight frame, large when something is about to be lost.

        A scalar to add to the loss. It weighs bins as `inverse` does (kappa_two_sided of `verify`), is finite, at 27.6
        with no gradient through A, for a bank that loses something, and its gradient is finite everywhere.

        >>> ConvSTFT(512, hop_length=128).double().frame_penalty().abs() < 1e-12
        tensor(True)
        """
        kernel = self.kernel
        return log_kappa(kernel, self.hop_length).to(kernel.dtype)

    def drift(self) -> Drift:
        """Relative change of the filters since they were an STFT, of each bin and in total; 0 to rounding at first.

        >>> ConvSTFT(64, learn="delta").drift().total
        0.0
        """
        kernel = self.kernel
        return drift(kernel, self.initial_kernel.to(kernel.device, kernel.dtype))

    def param_groups(self, lr: float, weight_decay: float = 0.0) -> list[dict[str, Any]]:
        """Groups for an optimiser, in which `lr` means the same relative step for "delta" and "free".

        Args:
            lr: of the deviations: window values, bins, or shares of a filter's root mean square.
            weight_decay: towards the STFT that it began as. "free" has none: there it would lead to silence.

        Returns:
            [] for fixed filters (learn=None), so that it can be added to the groups of a model.

        Raises:
            ValueError: a learning rate that is not above 0, or a decay below it.

        >>> [group["lr"] for group in ConvSTFT(512, window="boxcar", learn="free").param_groups(1e-3, 0.01)]
        [0.001]
        """
        check_number("lr", lr, above=0)
        check_number("weight_decay", weight_decay, least=0)
        norms = torch.complex(*self.initial_kernel.chunk(2)).abs().square().mean().sqrt()
        return groups_by_meaning(self, lr, weight_decay, float(norms))

    @property
    def initial_kernel(self) -> Tensor:
        """The STFT it began as, float64, laid out as `kernel`."""
        win_length = self.n_fft if self.win_length is None else self.win_length
        window = centred_window(self.window, win_length, self.n_fft, periodic=self.periodic)
        return _stack(window * fourier_basis(self.n_fft))

    def extra_repr(self) -> str:
        return (
            f"{self.n_fft}, hop_length={self.hop_length}, win_length={self.win_length}, window={self.window!r}, "
            f"periodic={self.periodic}, center={self.center}, pad_mode={self.pad_mode!r}, drop_last={self.drop_last}, "
            f"learn={self.learn!r}, output={self.output!r}"
        )


def fourier_basis(n_fft: int) -> Tensor:
    """e^(-2 pi i k n / n_fft) as complex128 (n_fft // 2 + 1, n_fft), exact to rounding.

    The phase is reduced in integers, (k n) mod n_fft, before it meets floating point.

    >>> fourier_basis(4)[1]
    tensor([ 1.-0.j,  0.-1.j, -1.-0.j,  0.+1.j], dtype=torch.complex128)
    """
    check_count("n_fft", n_fft)
    eighths = 8 * torch.arange(n_fft)
    circle = torch.complex(_cos(eighths, n_fft), -_cos(eighths - 2 * n_fft, n_fft))
    return circle[torch.arange(n_fft // 2 + 1)[:, None] * torch.arange(n_fft) % n_fft]


def _cos(eighths: Tensor, n_fft: int) -> Tensor:
    """cos(2 pi m / (8 n_fft)) in float64 for integer m, by symmetry from the first eighth of the circle."""
    m = eighths % (8 * n_fft)
    m = torch.minimum(m, 8 * n_fft - m)  # cos is even: 0 ... half a turn
    sign = torch.where(m > 2 * n_fft, -1.0, 1.0).double()
    m = torch.minimum(m, 4 * n_fft - m).double()  # 0 ... a quarter turn
    step = math.pi / (4 * n_fft)
    return sign * torch.where(m <= n_fft, torch.cos(m * step), torch.sin((2 * n_fft - m) * step))


def centred_window(window: Window, win_length: int, n_fft: int, *, periodic: bool = True) -> Tensor:
    """A window of `win_length` samples in the middle of n_fft, float64.

    Raises:
        ValueError: a window that scipy does not know, or a win_length outside 1 ... n_fft.
    """
    if win_length > n_fft:
        raise ValueError(f"win_length (={win_length}) must not be above n_fft (={n_fft}).")
    cosines = COSINE_WINDOWS.get(window) if isinstance(window, str) and win_length > 1 else None
    period = win_length if periodic else win_length - 1
    values = _cosine_window(cosines, win_length, period) if cosines else _scipy_window(window, win_length, periodic)
    left = (n_fft - win_length) // 2
    return F.pad(values, (left, n_fft - win_length - left))


def _cosine_window(coefficients: tuple[float, ...], length: int, period: int) -> Tensor:
    """w[n] = sum_k a_k cos(2 pi k n / period), float64."""
    n = torch.arange(length)
    return torch.stack([a * _cos(8 * k * n, period) for k, a in enumerate(coefficients)]).sum(0)


def _scipy_window(window: Window, length: int, periodic: bool) -> Tensor:
    from scipy.signal import get_window  # takes most of a second to import

    try:
        return torch.as_tensor(np.asarray(get_window(window, length, fftbins=periodic), dtype=np.float64))
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"window (={window!r}) must be a name or tuple that scipy.signal.get_window knows: {error}"
        ) from None


def _stack(filters: Tensor) -> Tensor:
    """Complex (K, n) to real (2 K, n): real parts, then imaginary ones."""
    return torch.cat((filters.real, filters.imag))


def _rotate(filters: Tensor, bins: Tensor) -> Tensor:
    """Each filter moved up by its number of `bins`: times e^(-2 pi i bins n / n_fft)."""
    n_fft = filters.shape[1]
    phase = bins[:, None] * torch.arange(n_fft, device=bins.device) * (-2 * math.pi / n_fft)
    return _stack(torch.complex(*filters.chunk(2)) * torch.complex(phase.cos(), phase.sin()))
