"""Which window is this? 1 - |cos(w, w_ref)|, smallest over the windows that people use, at every place where it fits.

A window may stand anywhere in its kernel with zeros around it, and may itself begin or end with a zero, so the length
is searched a few samples around the support. One array can have two names: a periodic Hann window of 400 in 512 is
also a symmetric one of 401, a sample from the middle. Of equal candidates the one wins that fills the kernel, else the
one that is centred as librosa centres, else the one at the start as Kaldi's, else the one of even length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

Array = NDArray[np.float64]

TIE = 1e-12
"""Errors closer than this, or than half, are equal: float32 weights measure a true window at 1e-14."""
NEAR = 0.01
"""A window further away from all of these has no name."""
LARGEST_BETA = 30.0


def _cosines(*coefficients: float) -> Callable[[Array], Array]:
    return lambda turn: np.sum([c * np.cos(2 * math.pi * i * turn) for i, c in enumerate(coefficients)], axis=0)


_hann = _cosines(0.5, -0.5)

WINDOWS: dict[str, Callable[[Array], Array]] = {
    "rectangular": np.ones_like,
    "hann": _hann,
    "hamming": _cosines(0.54, -0.46),
    "blackman": _cosines(0.42, -0.5, 0.08),
    "sqrt-hann": lambda turn: np.sqrt(np.maximum(_hann(turn), 0)),
    "povey": lambda turn: np.maximum(_hann(turn), 0) ** 0.85,
}
"""Each as a function of the place in it, 0 ... 1."""


@dataclass(frozen=True)
class NamedWindow:
    """The window that comes nearest.

    Attributes:
        name: such as "periodic hann"; None where none comes near.
        length: samples of the named window, else of the support.
        start: its first sample in the kernel.
        error: 1 - |cos|.
        samples: (length,) of the named window, as its definition gives it; None without a name.
    """

    name: str | None
    length: int
    start: int
    error: float
    samples: Array | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class _Candidate:
    shape: str
    periodic: bool
    start: int
    samples: Array
    error: float

    @property
    def length(self) -> int:
        return len(self.samples)

    @property
    def name(self) -> str:
        if self.shape == "rectangular":
            return self.shape
        return f"{'periodic' if self.periodic else 'symmetric'} {self.shape}"

    def order(self, taps: int) -> tuple[bool, int, bool, bool]:
        """What decides between equal errors, the smaller the better."""
        centred = (taps - self.length) // 2
        place = 0 if self.start == centred else 1 if self.start == 0 else 2
        return self.length != taps, place, self.length % 2 == 1, not self.periodic


def name_window(window: Array, noise: float = 0.0) -> NamedWindow:
    """The name of a real window.

    Args:
        window: (taps,) float64, not zero.
        noise: share of its largest value up to which a sample may be noise.

    >>> from scipy.signal import get_window
    >>> found = name_window(np.pad(get_window("hann", 400), (56, 56)))
    >>> found.name, found.length, found.start
    ('periodic hann', 400, 56)
    """
    taps = len(window)
    first, last = _support(window, max(noise, 1e-9))
    found = [
        _candidate(window, shape, periodic, start, curve(_turn(length, periodic)))
        for start, length in sorted(set(_places(first, last, taps, noise)))
        for shape, curve in WINDOWS.items()
        for periodic in ((True,) if shape == "rectangular" else (True, False))
    ]
    best = _best(found, taps)
    kaiser = [
        _kaiser(window, start, length, periodic)
        for start, length in {(0, taps), (first, last + 1 - first)}
        for periodic in (True, False)
    ]
    if (other := _best(kaiser, taps)).error < best.error / 2 - TIE:
        best = other
    if best.error > NEAR:
        return NamedWindow(None, last + 1 - first, first, best.error)
    return NamedWindow(best.name, best.length, best.start, best.error, best.samples)


def _candidate(window: Array, shape: str, periodic: bool, start: int, samples: Array) -> _Candidate:
    return _Candidate(shape, periodic, start, samples, _error(window, start, samples))


def _best(candidates: list[_Candidate], taps: int) -> _Candidate:
    least = min(c.error for c in candidates)
    equal = [c for c in candidates if c.error <= max(TIE, 1.0001 * least)]
    return min(equal, key=lambda c: c.order(taps))


def _support(window: Array, noise: float) -> tuple[int, int]:
    """First and last sample that stands out of the noise, as the largest always does."""
    size = np.abs(window)
    there = np.flatnonzero(size >= min(noise, 1.0) * size.max())
    return int(there[0]), int(there[-1])


def _places(first: int, last: int, taps: int, noise: float) -> Iterator[tuple[int, int]]:
    """Start and length of every window that may have this support: near a Hann window's end, (pi n / N)^2 is noise."""
    yield 0, taps
    hidden = 2 + math.ceil((last - first + 1) * math.sqrt(min(noise, 0.25)) / math.pi)
    for left in range(hidden):
        for right in range(max(0, left - 1), min(hidden, left + 2)):
            start, end = first - left, last + right
            if start >= 0 and end < taps:
                yield start, end - start + 1


def _turn(length: int, periodic: bool) -> Array:
    return np.arange(length) / max(1, length if periodic else length - 1)


def _error(window: Array, start: int, reference: Array) -> float:
    """1 - |cos| from the difference of the unit vectors, which does not cancel."""
    size, size_reference = np.linalg.norm(window), np.linalg.norm(reference)
    if size_reference == 0:
        return 1.0
    unit = window / size
    placed = np.zeros_like(unit)
    placed[start : start + len(reference)] = reference / size_reference
    if unit @ placed < 0:
        placed = -placed
    return float(np.sum((unit - placed) ** 2) / 2)


def _kaiser(window: Array, start: int, length: int, periodic: bool) -> _Candidate:
    """The Kaiser window of the beta that fits best."""
    arch = np.sqrt(np.maximum(0, 1 - (2 * _turn(length, periodic) - 1) ** 2))

    def samples(beta: float) -> Array:
        return np.i0(beta * arch) / np.i0(beta)

    def error(beta: float) -> float:
        return _error(window, start, samples(beta))

    coarse = min(np.arange(0.5, LARGEST_BETA, 0.5), key=error)
    fine = minimize_scalar(error, bounds=(coarse - 0.5, coarse + 0.5), method="bounded", options={"xatol": 1e-7})
    return _candidate(window, f"kaiser({fine.x:.3g})", periodic, start, samples(fine.x))
