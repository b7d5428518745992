"""Connected digits: recordings of one speaker in a row, with pauses between them and a faint hiss beneath."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from recipes.ctc.recordings import Samples
from recipes.digits_ctc.corpus import SAMPLE_RATE, Clip, speakers

TEST_PAUSES = (0.02, 0.25)
"""Seconds before, between and behind the digits of test utterances, shortest and longest."""
HISS = 1e-4
"""RMS of the noise beneath: a recording between digital zeros would give the pauses away."""
TEST_SEED = 0
"""Of the test utterances, which are the same for everybody."""
FEWEST, MOST = 3, 7
"""Digits of a connected utterance."""

Reader = Callable[[Clip], Samples]


@dataclass(frozen=True)
class Utterance:
    """Clips in a row.

    Args:
        clips: of one speaker.
        pauses: samples before each clip, and behind the last; a negative one lets two clips overlap.
        seed: of the hiss.
    """

    clips: tuple[Clip, ...]
    pauses: tuple[int, ...]
    seed: int

    @property
    def words(self) -> list[str]:
        return [clip.word for clip in self.clips]

    def render(self, read: Reader) -> tuple[Samples, list[int]]:
        """The sound, and the sample behind the end of each digit."""
        sounds = [read(clip) for clip in self.clips]
        starts, end = [], 0
        for pause, sound in zip(self.pauses, sounds, strict=False):
            starts.append(max(0, end + pause))
            end = starts[-1] + len(sound)
        ends = [start + len(sound) for start, sound in zip(starts, sounds, strict=True)]
        wav = np.zeros(max(ends) + max(0, self.pauses[-1]), np.float32)
        for start, sound in zip(starts, sounds, strict=True):
            wav[start : start + len(sound)] += sound
        hiss = np.random.default_rng(self.seed).standard_normal(len(wav), np.float32)
        return (wav + np.float32(HISS) * hiss).astype(np.float32), ends


def connected(clips: Sequence[Clip], seed: int) -> list[Utterance]:
    """Every clip once, in utterances of a few digits of one speaker; what is left over at the end may be shorter."""
    generator = np.random.default_rng(seed)
    utterances: list[Utterance] = []
    for speaker in speakers(clips):
        own = [clip for clip in clips if clip.speaker == speaker]
        order = generator.permutation(len(own)).tolist()
        while order:
            count = int(generator.integers(FEWEST, MOST + 1))
            chosen, order = order[:count], order[count:]
            utterances.append(_utterance([own[i] for i in chosen], TEST_PAUSES, generator, len(utterances)))
    return utterances


def isolated(clips: Sequence[Clip], seed: int) -> list[Utterance]:
    """Every clip for itself."""
    generator = np.random.default_rng(seed)
    return [_utterance([clip], TEST_PAUSES, generator, number) for number, clip in enumerate(clips)]


def by_speaker(clips: Sequence[Clip]) -> list[list[Clip]]:
    """Each speaker's clips, as often as there are times more of them than of the speaker with fewest."""
    groups = [[clip for clip in clips if clip.speaker == speaker] for speaker in speakers(clips)]
    fewest = min(map(len, groups))
    return [own for own in groups for _ in range(round(len(own) / fewest))]


def at_random(
    groups: Sequence[Sequence[Clip]], digits: int, pauses: tuple[float, float], generator: np.random.Generator
) -> Utterance:
    """So many digits out of one of some groups of clips, for training; pauses in seconds, shortest and longest."""
    own = groups[int(generator.integers(len(groups)))]
    chosen = [own[i] for i in generator.integers(len(own), size=digits)]
    return _utterance(chosen, pauses, generator, int(generator.integers(1 << 31)))


def _utterance(
    clips: Sequence[Clip], pauses: tuple[float, float], generator: np.random.Generator, seed: int
) -> Utterance:
    drawn = generator.uniform(*pauses, len(clips) + 1) * SAMPLE_RATE
    return Utterance(tuple(clips), tuple(drawn.astype(int).tolist()), seed)
