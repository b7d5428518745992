"""Sounds with a class each, at 8 kHz, and batches of them in noise."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from speechconv.audio.files import AudioFile
from speechconv.audio.waveform import Waveform

SAMPLE_RATE = 8000
TEST_TAKES = 5
"""The first takes of each digit and speaker are the test set, as the Free Spoken Digit Dataset has it."""

PIECE = 4000
"""Samples of a piece of one of the project's own recordings: half a second."""


@dataclass(frozen=True)
class Sounds:
    """Waveforms (samples,) and the class of each."""

    waveforms: list[Tensor]
    classes: Tensor

    def __len__(self) -> int:
        return len(self.waveforms)


def load(folder: Path) -> tuple[Sounds, Sounds]:
    """Training and test sounds: spoken digits from `folder`/recordings, else pieces of `folder`/speech by recording.

    Raises:
        FileNotFoundError: neither is there.
    """
    if (folder / "recordings").is_dir():
        named = [(path, path.stem.split("_")) for path in sorted((folder / "recordings").glob("*_*_*.wav"))]
        labelled = [(read(path), int(digit), int(take) < TEST_TAKES) for path, (digit, _, take) in named]
    else:
        paths = sorted(path for path in (folder / "speech").glob("*") if path.suffix in (".wav", ".flac"))
        pieces = [(label, i, piece) for label, path in enumerate(paths) for i, piece in enumerate(cut(read(path)))]
        labelled = [(piece, label, i % 3 == 1) for label, i, piece in pieces]
    if not labelled:
        raise FileNotFoundError(
            f"{folder} holds neither recordings/{{digit}}_{{speaker}}_{{take}}.wav nor speech/*.wav; see README.md."
        )
    return _of(labelled, test=False), _of(labelled, test=True)


def read(path: Path) -> Tensor:
    """The whole file, mixed to one channel at 8 kHz."""
    with AudioFile(path) as file:
        blocks = list(Waveform(file, sample_rate=SAMPLE_RATE).blocks())
    return torch.from_numpy(np.concatenate(blocks))


def cut(waveform: Tensor) -> list[Tensor]:
    return [piece for piece in waveform.split(PIECE) if len(piece) == PIECE]


def _of(labelled: list[tuple[Tensor, int, bool]], *, test: bool) -> Sounds:
    chosen = [(waveform, label) for waveform, label, held_out in labelled if held_out == test]
    return Sounds([waveform for waveform, _ in chosen], torch.tensor([label for _, label in chosen]))


def in_noise(
    sounds: Sounds, chosen: Tensor, generator: torch.Generator, snr_db: tuple[float, float]
) -> tuple[Tensor, Tensor]:
    """Padded waveforms (batch, samples) in white or pink noise, each at a random ratio, and their lengths."""
    rows = [sounds.waveforms[i] for i in chosen.tolist()]
    low, high = snr_db
    noisy = []
    for row in rows:
        noise = torch.randn(len(row), generator=generator)
        coin, place = torch.rand(2, generator=generator).tolist()
        noise = pink(noise) if coin < 0.5 else noise
        power = row.square().mean().clamp(min=1e-8) / 10 ** ((low + (high - low) * place) / 10)
        noisy.append(row + noise * (power / noise.square().mean()).sqrt())
    lengths = torch.tensor([len(row) for row in rows])
    return torch.nn.utils.rnn.pad_sequence(noisy, batch_first=True), lengths


def pink(white: Tensor) -> Tensor:
    """White noise with 3 dB less in each octave."""
    spectrum = torch.fft.rfft(white)
    return torch.fft.irfft(spectrum / torch.arange(1, len(spectrum) + 1).sqrt(), n=len(white))
