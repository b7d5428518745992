"""Training batches of utterances of about one length; each step's follow from its number and the seed.

Utterances are sorted into buckets, each 10 % longer than the one before, and cut into batches by their bucket's upper
edge, so an epoch has the same number of batches every time. Which utterances of a bucket share a batch, and the order
of the batches, are drawn anew in every epoch, alike by all processes: rank r of n takes utterances r, r + n, ...
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from recipes.ctc.processes import Processes
from recipes.ctc.spec_augment import Holes, SpecAugment
from recipes.ctc.trainer import Batch
from recipes.librispeech_ctc.corpus import SAMPLE_RATE, read
from recipes.librispeech_ctc.examples import Example
from speechconv.checks import check_count

WIDTH = 1.1
"""Of a bucket: its longest utterance to its shortest."""
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Batching:
    """How utterances share batches.

    Args:
        seconds: of a batch at most, padding included, over all processes together.
        longest: seconds of the longest utterance that is trained on; longer ones are left out.
    """

    seconds: float = 1600.0
    longest: float = 24.0


@dataclass(frozen=True)
class RowByRow:
    """SpecAugment, each row's holes drawn for itself: they do not depend on what else is in the batch.

    Args:
        holes: how many and how long.
        seeds: of each row.
    """

    holes: Holes
    seeds: tuple[int, ...]

    def __call__(self, frames: Tensor, lengths: Tensor) -> Tensor:
        rows = zip(self.seeds, frames.split(1), lengths.split(1), strict=True)
        return torch.cat([SpecAugment(self.holes, seed)(row, length) for seed, row, length in rows])


class Batches:
    """A process's share of each training batch.

    Args:
        examples: all that may be used.
        batching: how much a batch holds.
        holes: SpecAugment's; None: none.
        seed: of everything random.
        most: utterances of a batch at most, over all processes together.
        processes: that share each batch.

    Attributes:
        per_epoch: batches in which every utterance comes once.

    Raises:
        ValueError: a batch that is too small for the longest utterance.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        batching: Batching,
        holes: Holes | None,
        *,
        seed: int,
        most: int,
        processes: Processes,
    ) -> None:
        self.examples, self.holes, self.seed, self.processes = examples, holes, seed, processes
        seconds = np.array([one.utterance.samples for one in examples]) / SAMPLE_RATE
        if seconds.max() > batching.seconds:
            raise ValueError(
                f"a batch of {batching.seconds} s cannot hold an utterance of {seconds.max():.1f} s; "
                "raise [batching] seconds, or lower longest."
            )
        self._bucket = np.floor(np.log(seconds / seconds.min()) / np.log(WIDTH)).astype(np.int64)
        edges = np.minimum(seconds.min() * WIDTH ** (np.sort(self._bucket) + 1), seconds.max())
        self._cuts = _cuts(edges.tolist(), batching.seconds, check_count("batch", most))
        self.per_epoch = len(self._cuts) + 1
        self._epoch = lru_cache(maxsize=2)(self._shuffled)

    def __call__(self, step: int) -> Batch:
        numbers = self.utterances(step)
        generator = np.random.default_rng((self.seed, 1, step))
        seeds = generator.integers(1 << 31, size=len(numbers))
        own = slice(self.processes.rank, None, self.processes.size)
        chosen = [self.examples[number] for number in numbers[own].tolist()]
        sounds = [torch.from_numpy(read(one.utterance)) for one in chosen]
        tokens = [torch.tensor(one.tokens) for one in chosen]
        return Batch(
            wav=pad_sequence(sounds, batch_first=True) if sounds else torch.zeros(0, 0),
            lengths=torch.tensor([len(sound) for sound in sounds], dtype=torch.int64),
            tokens=torch.cat(tokens) if tokens else torch.zeros(0, dtype=torch.int64),
            counts=torch.tensor([len(one) for one in tokens], dtype=torch.int64),
            mask=RowByRow(self.holes, tuple(seeds[own].tolist())) if self.holes else None,
        )

    def utterances(self, step: int) -> Integers:
        """Numbers of those in the whole batch of a step."""
        epoch, number = divmod(step, self.per_epoch)
        return self._epoch(epoch)[number]

    def _shuffled(self, epoch: int) -> list[Integers]:
        generator = np.random.default_rng((self.seed, 0, epoch))
        order = generator.permutation(len(self.examples))
        order = order[np.argsort(self._bucket[order], kind="stable")]
        batches = np.split(order, self._cuts)
        return [batches[number] for number in generator.permutation(len(batches))]


def _cuts(edges: Sequence[float], seconds: float, most: int) -> list[int]:
    """Where a new batch begins, so that edge of the last x utterances stays within `seconds`.

    >>> _cuts([1, 1, 1, 2, 2], 4.0, 3)
    [3]
    >>> _cuts([1, 1, 1, 1, 2, 2], 4.0, 9)
    [4]
    >>> _cuts([1, 1, 1, 2, 2, 3], 4.0, 9)
    [3, 5]
    """
    cuts, first = [], 0
    for number, edge in enumerate(edges):
        count = number - first + 1
        if count > most or count * edge > seconds:
            cuts.append(number)
            first = number
    return cuts


class Ahead:
    """Batches that threads read while the model trains on the one before.

    Args:
        batch_of: as `train` takes it.
        readers: threads, and how many batches they are ahead.
        steps: how many there are.
    """

    def __init__(self, batch_of: Callable[[int], Batch], readers: int, steps: int) -> None:
        self._batch_of, self._steps = batch_of, steps
        self._pool, self._coming = ThreadPoolExecutor(readers), dict[int, Future[Batch]]()
        self._readers = readers

    def __call__(self, step: int) -> Batch:
        for number in range(step, min(step + self._readers + 1, self._steps)):
            if number not in self._coming:
                self._coming[number] = self._pool.submit(self._batch_of, number)
        return self._coming.pop(step).result()

    def __enter__(self) -> Ahead:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
