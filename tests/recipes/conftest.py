"""What tests of several files read: recordings, and settings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from recipes.digits_ctc.corpus import SAMPLE_RATE
from recipes.librispeech_ctc.tones import write_corpus

SMALL = """
[acoustic]
channels = 64
blocks = 2

[training]
steps = 400
learning_rate = 6e-3
warmup = 30
batch = 8

[augmentation]
time_masks = 1
"""


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tones in LibriSpeech's layout: train/ and test/. To be read only; who damages it takes a copy."""
    folder = tmp_path_factory.mktemp("tones")
    write_corpus(folder)
    return folder


@pytest.fixture
def tone_folder(tmp_path: Path) -> Path:
    """Two speakers' takes of two digits, as the Free Spoken Digit Dataset names them."""
    folder = tmp_path / "tones" / "recordings"
    folder.mkdir(parents=True)
    for digit in (0, 7):
        for speaker in ("ann", "bob"):
            for take in (0, 5, 12):
                tone = np.sin(np.arange(800 + 100 * take) * (0.1 + 0.1 * digit))
                soundfile.write(folder / f"{digit}_{speaker}_{take}.wav", tone / 2, SAMPLE_RATE)
    (folder / "notes.txt").write_text("not a recording")
    return folder.parent


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of digits_ctc: a small model and a short training."""
    path = tmp_path_factory.mktemp("settings") / "small.toml"
    path.write_text(SMALL)
    return path
