"""One input -> its feature file and its line in a report; the same in this process, in workers and on a cluster."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from speechconv.audio.error import AudioError
from speechconv.disk import is_disk_full
from speechconv.extraction.inputs import Input
from speechconv.extraction.pipelines import batch_rows, build_pipeline, computes_in, facts
from speechconv.extraction.recipe import Recipe
from speechconv.extraction.rows import FeatureError, LongSounds, ShortSounds, as_array, check_real_features
from speechconv.extraction.sound import LeftOut, Pass, Samples
from speechconv.extraction.task import Task
from speechconv.stores.feature_file import FeatureFile
from speechconv.stores.ids import file_name
from speechconv.stores.manifest import ErrorLine, Line, ManifestLine, SkippedLine
from speechconv.utterance import frozen_twin

SHORT = 1 << 18
"""Samples up to which a sound goes through the pipeline at once: 16 s at 16 kHz."""


@dataclass(slots=True)
class _Sound:
    """A sound that can be read, on its way to its features.

    Attributes:
        index: of its task.
        item: the input.
        samples: all of it, at the pipeline's rate; None of a long one, which is read again block by block.
        described: fields of its manifest line.
        seconds: that it has taken so far.
    """

    index: int
    item: Input
    samples: Samples | None
    described: dict[str, Any]
    seconds: float


class Extractor:
    """Makes feature files of inputs, each from its own frame 0.

    Args:
        recipe: what to make.

    Attributes:
        pipeline: that makes the features.
        facts: what the recipe came to.

    Raises:
        ValueError, FileNotFoundError: see `build_pipeline`.
        TypeError: its features are complex.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.pipeline = frozen_twin(build_pipeline(recipe)).eval()  # a pipeline given in training mode stays in it
        self.facts = facts(recipe, self.pipeline)
        placement = computes_in(recipe, self.pipeline)
        check_real_features(self.pipeline, *placement)
        self._short = ShortSounds(self.pipeline, batch_rows(recipe), *placement)
        self._long = LongSounds(self.pipeline, *placement)

    def __call__(self, item: Input) -> Line:
        """Extract one input; whatever is wrong with it becomes its line.

        Raises:
            OSError: the disk is full.
        """
        return next(self.lines([Task(0, item)]))[1]

    def lines(self, tasks: Iterable[Task | None]) -> Iterator[tuple[int, Line]]:
        """(index, line) of each task as it gets done; a short sound may wait for others of about its length.

        Args:
            tasks: a None among them says that no more come for now: nothing waits.

        Raises:
            OSError: the disk is full.
        """
        waiting: dict[int, list[_Sound]] = {}
        for task in tasks:
            if task is None:
                for group in waiting.values():
                    yield from self._finish_short(group)
                waiting.clear()
                continue
            sound = self._load(task)
            if not isinstance(sound, _Sound):
                yield task.index, sound
            elif sound.samples is None:
                yield task.index, self._finish_long(sound)
            else:
                bucket = self._short.bucket(sound.samples)
                group = waiting.setdefault(bucket, [])
                group.append(sound)
                if len(group) == self._short.rows:
                    yield from self._finish_short(waiting.pop(bucket))
        for group in waiting.values():
            yield from self._finish_short(group)

    def _load(self, task: Task) -> _Sound | Line:
        started = time.perf_counter()
        item = task.item
        reading = Pass(item, self.recipe, self.pipeline.sample_rate)
        blocks: list[Samples] = []
        try:
            for block in reading.blocks():
                blocks.append(block)
                if reading.num_samples > SHORT:
                    return _Sound(task.index, item, None, {}, time.perf_counter() - started)
        except Exception as error:
            return fault_line(item, error)
        samples = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
        return _Sound(task.index, item, samples, reading.described, time.perf_counter() - started)

    def _finish_short(self, group: list[_Sound]) -> Iterator[tuple[int, Line]]:
        started = time.perf_counter()
        try:
            features = self._short([sound.samples for sound in group if sound.samples is not None])
        except Exception as error:  # a fault of a layer must not end the run
            yield from ((sound.index, fault_line(sound.item, error)) for sound in group)
            return
        share = (time.perf_counter() - started) / len(group)
        for sound, own in zip(group, features, strict=True):
            sound.seconds += share
            yield sound.index, self._written(sound, [own])

    def _finish_long(self, sound: _Sound) -> Line:
        passes: list[Pass] = []

        def read() -> Iterator[Samples]:
            passes.append(Pass(sound.item, self.recipe, self.pipeline.sample_rate))
            return passes[-1].blocks()

        def parts() -> Iterator[Tensor]:
            yield from self._long(read)
            if len({one.num_samples for one in passes}) > 1:
                raise FeatureError("the file changed while it was read; extract it again.")
            sound.described = passes[-1].described

        return self._written(sound, parts())

    def _written(self, sound: _Sound, parts: Iterable[Tensor]) -> Line:
        started = time.perf_counter()
        recipe, name = self.recipe, file_name(sound.item.id, ".npy")
        try:
            with FeatureFile(recipe.folder / name, self.facts.channels, recipe.dtype) as features:
                for part in parts:
                    features.append(as_array(part, recipe.dtype, features.frames))
                sha256 = features.commit()
        except Exception as error:
            return fault_line(sound.item, error)
        return ManifestLine(
            **sound.described,
            path=name,
            frames=features.frames,
            channels=features.channels,
            dtype=recipe.dtype,
            hop_length=self.facts.hop_length,
            sha256=sha256,
            recipe=self.facts.recipe,
            seconds=round(sound.seconds + time.perf_counter() - started, 6),
        )


def fault_line(item: Input, error: Exception) -> ErrorLine | SkippedLine:
    """What became of `item`, by what was raised; where one error caused another, that one gives the class.

    Raises:
        OSError: the disk is full.
    """
    if isinstance(error, LeftOut):
        return SkippedLine(item.id, item.audio, error.duration, error.reason)
    if isinstance(error, OSError) and is_disk_full(error):
        raise error
    stage = error.stage if isinstance(error, AudioError) else "write" if isinstance(error, OSError) else "features"
    return ErrorLine(item.id, item.audio, stage, type(error.__cause__ or error).__name__, str(error))
