"""A small corpus in LibriSpeech's layout without anybody's voice: letters and the space are chords.

    python recipes/librispeech_ctc/tones.py tones

Writes tones/train and tones/test: a few speakers, each with a pitch of its own, that say words of a small lexicon. It
shows that the recipe works, in seconds; error rates on it say nothing about speech.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from recipes.ctc.command import run_command
from recipes.ctc.recordings import Samples
from recipes.librispeech_ctc.corpus import SAMPLE_RATE

WORDS = ("ABBEY", "BAD", "CAB", "DEAF", "FACE", "FADE", "DEED", "ACE")
LETTERS = "ABCDEFY "
LETTER, SILENCE = 1280, 1600
"""Samples: 80 and 100 ms."""
LOW, HIGH = 300.0, 1500.0
"""Hz: letter i of n has LOW + 150 i, and HIGH + 250 (3 i mod n), times the speaker's pitch."""
SPEAKERS, CHAPTERS, UTTERANCES = 4, 3, 8


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="folder for train/ and test/")
    args = parser.parse_args(arguments)
    run_command(lambda: write_corpus(args.output))


def write_corpus(output: Path) -> None:
    """96 utterances to train on, and a chapter of one more speaker to test on."""
    generator = np.random.default_rng(0)
    for speaker in range(SPEAKERS):
        for chapter in range(CHAPTERS):
            write_chapter(output / "train", 10 + speaker, 100 + chapter, 0.97 + 0.02 * speaker, generator)
    write_chapter(output / "test", 20, 200, 1.0, generator)


def write_chapter(part: Path, speaker: int, chapter: int, pitch: float, generator: np.random.Generator) -> None:
    folder = part / str(speaker) / str(chapter)
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for number in range(UTTERANCES):
        name = f"{speaker}-{chapter}-{number:04d}"
        text = " ".join(generator.choice(WORDS, size=int(generator.integers(1, 5))))
        soundfile.write(folder / f"{name}.flac", spoken(text, pitch, generator), SAMPLE_RATE)
        lines.append(f"{name} {text}\n")
    (folder / f"{speaker}-{chapter}.trans.txt").write_text("".join(lines), "utf-8")


def spoken(text: str, pitch: float, generator: np.random.Generator) -> Samples:
    """The sound of a text, in a faint hiss, with silence at both ends.

    >>> len(spoken("A CAB", 1.0, np.random.default_rng(0))) == 5 * LETTER + 2 * SILENCE
    True
    """
    silence = np.zeros(SILENCE)
    sound = np.concatenate([silence, *(chord(letter, pitch) for letter in text), silence])
    return (sound + 0.003 * generator.standard_normal(len(sound))).astype(np.float32)


def chord(letter: str, pitch: float) -> Samples:
    number = LETTERS.index(letter)
    pair = np.array([LOW + 150 * number, HIGH + 250 * (3 * number % len(LETTERS))]) * pitch
    seconds = np.arange(LETTER) / SAMPLE_RATE
    return 0.2 * np.hanning(LETTER) * np.sin(2 * np.pi * pair[:, None] * seconds).sum(0)


if __name__ == "__main__":
    main()
