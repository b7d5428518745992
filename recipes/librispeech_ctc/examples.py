"""Utterances to train on: which of a corpus can be learned from, and what is to be said in them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from recipes.librispeech_ctc.corpus import SAMPLE_RATE, Utterance
from recipes.librispeech_ctc.units import Units


@dataclass(frozen=True)
class Example:
    """An utterance to train on.

    Args:
        utterance: where it is.
        tokens: numbers of what is said in it.
    """

    utterance: Utterance
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class Examples:
    """What is trained on.

    Args:
        chosen: in the order of the corpus.
        too_long: how many are longer than training takes.
        too_dense: how many have fewer frames than CTC needs for their tokens.
    """

    chosen: tuple[Example, ...]
    too_long: int
    too_dense: int

    def record(self) -> dict[str, Any]:
        """What the trained weights follow from, for the run's folder."""
        lines = [f"{one.utterance.name}:{one.utterance.samples}:{one.utterance.text}" for one in self.chosen]
        return {"utterances": len(lines), "sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest()}

    def summary(self) -> str:
        hours = sum(one.utterance.samples for one in self.chosen) / SAMPLE_RATE / 3600
        return (
            f"{len(self.chosen)} utterances, {hours:.3g} hours "
            f"({self.too_long} too long, {self.too_dense} with more tokens than frames left out)"
        )


def choose(utterances: Sequence[Utterance], units: Units, longest: float, frames_of: Callable[[int], int]) -> Examples:
    """Those that are no longer than `longest` seconds and have the frames that their tokens need.

    Args:
        utterances: of the corpus.
        units: that transcripts are told in.
        longest: seconds.
        frames_of: what the recogniser makes of a number of samples.

    Raises:
        ValueError: a transcript that the vocabulary cannot tell, or nothing left.
    """
    chosen, too_long, too_dense = [], 0, 0
    for utterance in utterances:
        tokens = units.encode(utterance.text)
        if utterance.samples > longest * SAMPLE_RATE:
            too_long += 1
        elif frames_of(utterance.samples) < frames_needed(tokens):
            too_dense += 1
        else:
            chosen.append(Example(utterance, tuple(tokens)))
    if not chosen:
        raise ValueError(
            f"nothing is left to train on: of {len(utterances)} utterances {too_long} are longer than {longest} s, "
            f"{too_dense} have more tokens than frames; raise [batches] longest or [acoustic] frame_rate."
        )
    return Examples(tuple(chosen), too_long, too_dense)


def frames_needed(tokens: Sequence[int]) -> int:
    """By CTC: one a token, and a blank between two that are the same.

    >>> frames_needed([1, 2, 2, 3])
    5
    """
    return len(tokens) + sum(one == other for one, other in pairwise(tokens))
