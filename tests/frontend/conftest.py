"""Shared by the tests of the STFT: a second of speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.frontend.stft_judges import Waveform


@pytest.fixture(scope="module")
def speech() -> Waveform:
    """A second of speech, a little noise in its pauses."""
    samples, _ = soundfile.read(Path(__file__).parents[2] / "audio_samples" / "speech" / "en_us_digits_16k.wav")
    return samples[4000:20000] + 1e-3 * np.random.default_rng(0).standard_normal(16000)
