"""Training batches: utterances put together at random, augmented; each step's follow from its number and the seed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from recipes.ctc.recordings import Samples
from recipes.ctc.spec_augment import SpecAugment
from recipes.ctc.trainer import Batch
from recipes.digits_ctc.augment import Augmentation, faster
from recipes.digits_ctc.corpus import DIGITS, Clip, read
from recipes.digits_ctc.utterances import MOST, Utterance, at_random, by_speaker


class Batches:
    """Training batches of a set of clips.

    Args:
        clips: all that may be used; a speaker is heard the oftener, the more there are of him.
        augmentation: of each utterance.
        utterances: of a batch.
        seed: of everything random.
    """

    def __init__(self, clips: Sequence[Clip], augmentation: Augmentation, utterances: int, seed: int) -> None:
        self.augmentation, self.utterances, self.seed = augmentation, utterances, seed
        self._groups = by_speaker(clips)
        self._at_speed = lru_cache(maxsize=None)(_at_speed)

    def __call__(self, step: int) -> Batch:
        generator = np.random.default_rng((self.seed, step))
        digits = int(generator.integers(1, MOST + 1))  # alike in all utterances, so that little of a batch is padding
        sounds, tokens = [], []
        for _ in range(self.utterances):
            utterance = at_random(self._groups, digits, self.augmentation.pauses, generator)
            speed = float(generator.choice(self.augmentation.speeds))
            wav, _ = utterance.render(lambda clip, speed=speed: self._at_speed(clip, speed))
            sounds.append(torch.from_numpy(self.augmentation.sound(wav, generator)))
            tokens.append(torch.tensor(DIGITS.encode(utterance.words)))
        mask = SpecAugment(self.augmentation, int(generator.integers(1 << 31)))
        wav, lengths = padded(sounds)
        return Batch(wav, lengths, torch.cat(tokens), torch.full((len(tokens),), digits), mask)


def padded(sounds: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """(batch, samples), zeros behind each, and (batch,) lengths."""
    return pad_sequence(list(sounds), batch_first=True), torch.tensor([len(sound) for sound in sounds])


def rendered(utterances: Sequence[Utterance]) -> list[Tensor]:
    """The sound of each test utterance."""
    return [torch.from_numpy(utterance.render(read)[0]) for utterance in utterances]


def _at_speed(clip: Clip, speed: float) -> Samples:
    return faster(read(clip), speed)
