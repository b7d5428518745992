"""Word error rate with its interval, and the difference of two recognisers on the same utterances.

    WER = sum of errors / sum of words        over utterances; errors: substitutions, insertions and deletions

The intervals are percentiles of the bootstrap over utterances: what another draw of utterances from the same speakers
might have given. They know nothing of other speakers, rooms or training seeds.

Source: Bisani and Ney 2004, Bootstrap estimates for confidence intervals in ASR performance evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
DRAWS = 10_000


@dataclass(frozen=True)
class Interval:
    """A figure and where it may lie, 95 %."""

    value: float
    low: float
    high: float

    def percent(self) -> str:
        """
        >>> Interval(0.041, 0.02, 0.0651).percent()
        '4.1 (2.0 to 6.5)'
        """
        return f"{100 * self.value:.1f} ({100 * self.low:.1f} to {100 * self.high:.1f})"


@dataclass(frozen=True)
class Scores:
    """Errors and words of each utterance of one test set, in a fixed order."""

    errors: tuple[int, ...]
    words: tuple[int, ...]

    @property
    def rate(self) -> float:
        return sum(self.errors) / sum(self.words)


def score(references: Sequence[Sequence[str]], hypotheses: Sequence[Sequence[str]]) -> Scores:
    """Word errors of each utterance.

    Raises:
        ValueError: no utterance, one without words, or another number of hypotheses.
        ImportError: jiwer is not installed.

    >>> score([["one", "two"], ["six"]], [["one"], ["six", "six"]])
    Scores(errors=(1, 1), words=(2, 1))
    """
    if not references or not all(references):
        raise ValueError("the test set is empty, or an utterance in it has no words; there is nothing to score.")
    if len(references) != len(hypotheses):
        raise ValueError(f"expected {len(references)} hypotheses, one an utterance, got {len(hypotheses)}.")
    try:
        import jiwer
    except ImportError as error:
        raise ImportError(f"jiwer, which counts errors, does not load ({error}); pip install jiwer.") from None
    errors = []
    for reference, hypothesis in zip(references, hypotheses, strict=True):
        found = jiwer.process_words(" ".join(reference), " ".join(hypothesis))
        errors.append(found.substitutions + found.insertions + found.deletions)
    return Scores(tuple(errors), tuple(len(reference) for reference in references))


def word_error_rate(folds: Sequence[Scores], seed: int = 0) -> Interval:
    """Mean over folds of each fold's word error rate."""
    return _interval(float(np.mean([fold.rate for fold in folds])), _drawn(tuple(folds), seed))


def difference(folds: Sequence[Scores], others: Sequence[Scores], seed: int = 0) -> Interval:
    """Word error rate of the first less that of the second, both on the same draws of utterances (paired).

    Raises:
        ValueError: tests of other utterances.
    """
    if [fold.words for fold in folds] != [other.words for other in others]:
        raise ValueError("the two were tested on other utterances; a paired difference needs the same.")
    value = float(np.mean([a.rate - b.rate for a, b in zip(folds, others, strict=True)]))
    return _interval(value, _drawn(tuple(folds), seed) - _drawn(tuple(others), seed))


@lru_cache(maxsize=64)
def _drawn(folds: tuple[Scores, ...], seed: int) -> Floats:
    """The mean word error rate of each draw; utterances are drawn within their fold, alike for equal numbers.

    Kept, as a report sets every front-end beside the same baseline.
    """
    generator = np.random.default_rng(seed)
    rates = []
    for fold in folds:
        errors, words = np.array(fold.errors), np.array(fold.words)
        chosen = generator.integers(len(words), size=(DRAWS, len(words)))
        rates.append(errors[chosen].sum(1) / words[chosen].sum(1))
    return np.mean(rates, 0)


def _interval(value: float, drawn: Floats) -> Interval:
    low, high = np.percentile(drawn, (2.5, 97.5))
    return Interval(value, float(low), float(high))
