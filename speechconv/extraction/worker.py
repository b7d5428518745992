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
from speechconv.extraction.task import HANDFUL, Task
from speechconv.stores.feature_file import FeatureFile
from speechconv.stores.ids import file_name
from speechconv.stores.manifest import ErrorLine, Line, ManifestLine, SkippedLine
from speechconv.utterance import frozen_twin

SHORT = 1 << 18
"""Samples up to which a sound goes through the pipeline at once: 16 s at 16 kHz."""
HANDFUL_SAMPLES = 1 << 17
"""Samples that are read, at most, before the first of them is computed."""


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
        handful: sounds that are worked on together at most; 1: each one is done before the next is begun.

    Attributes:
        pipeline: that makes the features.
        facts: what the recipe came to.

    Raises:
        ValueError, FileNotFoundError: see `build_pipeline`.
        TypeError: its features are complex.
    """

    def __init__(self, recipe: Recipe, *, handful: int = HANDFUL) -> None:
        self.recipe = recipe
        self._most = handful
        self.pipeline = frozen_twin(build_pipeline(recipe)).eval()  # a pipeline given in training mode stays in it
        self.facts = facts(recipe, self.pipeline)
        placement = computes_in(self.pipeline, recipe.precision, recipe.device)
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
        """(index, line) of each task, in the order in which they get done; see `handfuls`."""
        for handful in self.handfuls(tasks):
            yield from handful

    def handfuls(self, tasks: Iterable[Task | None]) -> Iterator[list[tuple[int, Line]]]:
        """(index, line) of each task, a few at a time: all are read, then computed, then written, which is faster for
        short sounds than each for itself, since code and memory stay in the processor's caches.

        Args:
            tasks: a None among them says that no more come for now: what is in hand gets done.

        Raises:
            OSError: the disk is full.
        """
        done: list[tuple[int, Line]] = []
        sounds: list[_Sound] = []
        for task in tasks:
            if task is not None:
                loaded = self._load(task)
                if isinstance(loaded, _Sound):
                    sounds.append(loaded)
                else:
                    done.append((task.index, loaded))
            if task is None or self._is_handful(sounds, done):
                done += self._finish(sounds)
                if done:
                    yield done
                done, sounds = [], []
        done += self._finish(sounds)
        if done:
            yield done

    def _is_handful(self, sounds: list[_Sound], done: list[tuple[int, Line]]) -> bool:
        samples = sum(SHORT if sound.samples is None else len(sound.samples) for sound in sounds)
        return len(sounds) + len(done) >= self._most or samples >= HANDFUL_SAMPLES

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

    def _finish(self, sounds: list[_Sound]) -> list[tuple[int, Line]]:
        """Features of a handful, and their lines."""
        features = self._short_features(sounds)
        lines: list[tuple[int, Line]] = []
        for sound in sounds:
            if sound.samples is None:
                line = self._finish_long(sound)
            elif isinstance(found := features[sound.index], Exception):
                line = fault_line(sound.item, found)
            else:
                line = self._written(sound, [found])
            lines.append((sound.index, line))
        return lines

    def _short_features(self, sounds: list[_Sound]) -> dict[int, Tensor | Exception]:
        """By the index of their task; those of a length go through the pipeline together."""
        by_bucket: dict[int, list[tuple[_Sound, Samples]]] = {}
        for sound in sounds:
            if sound.samples is not None:
                by_bucket.setdefault(self._short.bucket(sound.samples), []).append((sound, sound.samples))
        features: dict[int, Tensor | Exception] = {}
        for group in by_bucket.values():
            for start in range(0, len(group), self._short.rows):
                batch = group[start : start + self._short.rows]
                started = time.perf_counter()
                features |= self._computed(batch)
                for sound, _ in batch:
                    sound.seconds += (time.perf_counter() - started) / len(batch)
        return features

    def _computed(self, batch: list[tuple[_Sound, Samples]]) -> dict[int, Tensor | Exception]:
        try:
            found = self._short([samples for _, samples in batch])
        except Exception as error:  # a fault of a layer must not end the run
            return {sound.index: error for sound, _ in batch}
        return {sound.index: own for (sound, _), own in zip(batch, found, strict=True)}

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
