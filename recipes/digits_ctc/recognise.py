"""A trained recogniser at work: whole utterances, or a live stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

import speechconv as sc
from recipes.ctc.decoding import GreedyDecoder, Spoken, decode
from recipes.ctc.run_folder import RunFolder
from recipes.digits_ctc.batches import padded
from recipes.digits_ctc.corpus import DIGITS
from speechconv.presets import preset_names

BATCH = 32


@dataclass(frozen=True)
class Heard:
    """A digit out of a live stream.

    Args:
        word: the digit.
        frame: the first that says it.
        samples: that had arrived when it was heard.
    """

    word: str
    frame: int
    samples: int


def open_recogniser(source: str) -> sc.Pipeline:
    """The recogniser of a run's folder, or a preset that is one.

    Raises:
        FileNotFoundError: no run.
        ValueError: a run of another vocabulary, or a preset of something else.
    """
    if source not in preset_names():
        return load_recogniser(RunFolder(Path(source)))
    recogniser = sc.Pipeline.from_preset(source)
    if recogniser.output_dim != len(DIGITS):
        raise ValueError(
            f"preset {source!r} is no recogniser of digits; expected a run's folder, which train.py makes, or 'digits'."
        )
    return recogniser


def load_recogniser(run: RunFolder) -> sc.Pipeline:
    """The trained pipeline, from waveform to token scores.

    Raises:
        FileNotFoundError: no run, or one that is not trained to its end.
        ValueError: one of another vocabulary.
    """
    DIGITS.check_same(run.config()["tokens"], str(run.path))
    if not run.recogniser.is_file():
        raise FileNotFoundError(f"{run.path} is not trained to its end; run train.py again with the same --output.")
    return sc.Pipeline.load(run.recogniser)


@torch.inference_mode()
def recognise(recogniser: sc.Pipeline, sounds: Sequence[Tensor]) -> list[list[str]]:
    """The digits of each sound, heard as a whole."""
    words: list[list[str]] = []
    for start in range(0, len(sounds), BATCH):
        scores, counts = recogniser(*padded(sounds[start : start + BATCH]))
        words += [DIGITS.decode(decode(row[:count])) for row, count in zip(scores, counts.tolist(), strict=True)]
    return words


def listen(recogniser: sc.Pipeline, chunks: Iterator[Tensor]) -> Iterator[Heard]:
    """Digits as soon as they can be told, from chunks of any length."""
    session, decoder, samples = recogniser.stream(), GreedyDecoder(), 0
    for chunk in chunks:
        samples += len(chunk)
        yield from (_heard(spoken, samples) for spoken in decoder.push(session.push(chunk)))
    yield from (_heard(spoken, samples) for spoken in decoder.push(session.close()))


def _heard(spoken: Spoken, samples: int) -> Heard:
    return Heard(DIGITS.decode([spoken.token])[0], spoken.frame, samples)
