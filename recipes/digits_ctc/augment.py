"""What training does to the sound of its utterances: other speeds, levels, rooms' colours and noises.

speed       resampled, so that pitch and formants move with it
equaliser   a gain at each of a few frequencies, straight lines in dB between them
noise       white to brown, at a given ratio to the whole
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import soxr
from numpy.typing import NDArray

from recipes.ctc.recordings import Samples
from recipes.ctc.spec_augment import Holes
from recipes.digits_ctc.corpus import SAMPLE_RATE

KNOTS, TAPS = 6, 128
"""Of the equaliser: its frequencies, and the taps of its filter."""
SLOPES = (0.0, 0.5, 1.0, 1.5, 2.0)
"""Of the noise's power against frequency, both as logarithms: white to brown."""
NOISE_SAMPLES = 1 << 18


@dataclass(frozen=True)
class Augmentation(Holes):
    """Ranges that are drawn from evenly; and SpecAugment's holes in the frames.

    Args:
        speeds: factors, one an utterance.
        pauses: seconds between digits; below 0 they overlap, as in fluent speech.
        gain_db: of the whole, smallest and largest.
        equaliser_db: gain of each of the equaliser's frequencies, smallest and largest.
        snr_db: of the noise, smallest and largest.
        noisy: share of utterances that get noise.
    """

    speeds: Sequence[float] = (0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15, 1.2)
    pauses: tuple[float, float] = (-0.08, 0.25)
    gain_db: tuple[float, float] = (-20.0, 20.0)
    equaliser_db: tuple[float, float] = (-12.0, 12.0)
    snr_db: tuple[float, float] = (5.0, 40.0)
    noisy: float = 0.7

    def sound(self, wav: Samples, generator: np.random.Generator) -> Samples:
        """An utterance as another microphone in another room may have had it."""
        heard = equalised(wav, generator.uniform(*self.equaliser_db, KNOTS))
        if generator.random() < self.noisy:
            ratio = 10 ** (-generator.uniform(*self.snr_db) / 20)
            noise = some_noise(len(wav), generator)
            heard = heard + noise * ratio * np.sqrt(np.mean(np.square(heard)))
        return (heard * 10 ** (generator.uniform(*self.gain_db) / 20)).astype(np.float32)


def equalised(wav: Samples, gains_db: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """`wav` through a filter of linear phase, undelayed, with these gains at frequencies from 0 to Nyquist.

    >>> impulse = np.eye(1, 401, 200, dtype=np.float32)[0]
    >>> np.abs(np.fft.rfft(equalised(impulse, (6.0, 6.0))))[:200:50].round(2)
    array([2., 2., 2., 2.])
    """
    from scipy.signal import oaconvolve  # a second of every command that equalises nothing

    frequencies = np.linspace(0, 1, TAPS // 2 + 1)
    gains = np.interp(frequencies, np.linspace(0, 1, len(gains_db)), gains_db)
    taps = np.roll(np.fft.irfft(10 ** (gains / 20)), TAPS // 2)
    return oaconvolve(wav, taps)[TAPS // 2 : TAPS // 2 + len(wav)]


def some_noise(samples: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """A stretch of Gaussian noise of one of five colours, RMS about 1."""
    colour = coloured_noise(float(generator.choice(SLOPES)))
    start = int(generator.integers(max(1, len(colour) - samples)))
    return np.resize(colour[start : start + samples], samples)  # repeated where an utterance is longer than all of it


@cache
def coloured_noise(slope: float) -> NDArray[np.float64]:
    """33 s of Gaussian noise of power 1 / f^slope, RMS 1."""
    spectrum = np.fft.rfft(np.random.default_rng(round(10 * slope)).standard_normal(NOISE_SAMPLES))
    spectrum *= np.maximum(np.arange(len(spectrum)), 1) ** (-slope / 2)
    noise = np.fft.irfft(spectrum, NOISE_SAMPLES)
    return noise / np.sqrt(np.mean(np.square(noise)))


def faster(wav: Samples, speed: float) -> Samples:
    """`wav` played `speed` times as fast, pitch and all.

    >>> len(faster(np.zeros(8000, np.float32), 1.25))
    6400
    """
    return wav if speed == 1 else soxr.resample(wav, SAMPLE_RATE * speed, SAMPLE_RATE)
