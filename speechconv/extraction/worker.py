"""One input -> its feature file and its line in a report; the same in this process and in workers."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechconv.audio.error import AudioError
from speechconv.audio.files import AudioFile
from speechconv.audio.waveform import Channel, Resample, Waveform, check_channel, check_resample
from speechconv.disk import is_disk_full
from speechconv.stores.feature_file import FeatureFile
from speechconv.extraction.inputs import Input
from speechconv.stores.manifest import ErrorLine, Line, ManifestLine
from speechconv.extraction.pipelines import build_pipeline
from speechconv.extraction.rows import FeatureError, check_real_features, feature_rows, whole_rows
from speechconv.pipeline import Pipeline
from speechconv.plan import NotStreamable
from speechconv.utterance import freeze_on, frozen_twin, layers_of_policy


@dataclass(frozen=True)
class Recipe:
    """What to make of every input; each worker gets a copy.

    Args:
        out: the output folder.
        pipeline: preset name, file, or a pipeline.
        overrides: other values for a preset's keys.
        channel, resample: as for `Waveform`.
        random_weights: seed of the weights of a pipeline that has none of its own.

    Raises:
        ValueError: an argument outside its range.
    """

    out: Path
    pipeline: str | os.PathLike[str] | Pipeline = "logmel"
    overrides: Mapping[str, Any] = field(default_factory=dict)
    channel: Channel = "mix"
    resample: Resample = "auto"
    random_weights: int | None = None

    def __post_init__(self) -> None:
        check_channel(self.channel)
        check_resample(self.resample)

    def build(self) -> Pipeline:
        """The pipeline; see `build_pipeline`."""
        return build_pipeline(self.pipeline, self.overrides, self.random_weights)


class Extractor:
    """Makes feature files of inputs, one after the other, each from its own frame 0.

    Statistics over the utterance come from reading a file once more for each layer that takes them, so that a file of
    any length fits: the numbers are those of the whole utterance at once. A pipeline that cannot stream even so (a
    maximum over the utterance, a least length) takes each file whole, and memory grows with the file's length.

    Args:
        recipe: what to make.

    Attributes:
        pipeline: that makes the features.

    Raises:
        ValueError, FileNotFoundError: see `build_pipeline`.
        TypeError: its features are complex.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.pipeline = frozen_twin(recipe.build()).eval()  # a pipeline given in training mode stays in it
        self._live = frozen_twin(self.pipeline)
        self._awaiting = layers_of_policy(self._live, "utterance")
        freeze_on(self._live, self._awaiting, [])  # on nothing yet, to see now whether the rest can stream
        try:
            self._session = self._live.stream()
        except NotStreamable:
            self._session = None
        check_real_features(self.pipeline)

    def __call__(self, item: Input) -> Line:
        """Extract `item`; whatever is wrong with it becomes an error line.

        Raises:
            OSError: the disk is full.
        """
        try:
            return self._extract(item)
        except AudioError as error:
            return error_line(item, error.stage, error)
        except FeatureError as error:
            return error_line(item, "features", error)
        except OSError as error:
            if is_disk_full(error):
                raise
            return error_line(item, "write", error)
        except Exception as error:  # a fault of a layer must not end the run
            return error_line(item, "features", error)

    def _extract(self, item: Input) -> ManifestLine:
        pipe, recipe = self.pipeline, self.recipe
        earlier: list[int] = []  # lengths of the passes for statistics
        if self._session is not None:
            freeze_on(self._live, self._awaiting, [partial(self._read, item, earlier)])
            self._session.reset()
        with AudioFile(item.audio) as sound:
            waveform = self._waveform(sound)
            with FeatureFile(feature_path(recipe.out, item), pipe.output_dim) as features:
                for rows in self._rows(waveform):
                    features.append(rows)
                if set(earlier) - {waveform.num_samples}:
                    raise FeatureError("the file changed while it was read; extract it again.")
                sha256 = features.commit()
        return ManifestLine(
            id=item.id,
            audio=item.audio,
            sample_rate=pipe.sample_rate,
            num_samples=waveform.num_samples,
            audio_sample_rate=sound.sample_rate,
            audio_num_samples=waveform.source_samples,
            audio_channels=sound.channels,
            path=f"{item.id}.npy",
            frames=features.frames,
            channels=features.channels,
            dtype="float32",
            hop_length=pipe.hop_length,
            sha256=sha256,
        )

    def _rows(self, waveform: Waveform) -> Iterator[NDArray[np.float32]]:
        return whole_rows(self.pipeline, waveform) if self._session is None else feature_rows(self._session, waveform)

    def _waveform(self, sound: AudioFile) -> Waveform:
        recipe = self.recipe
        return Waveform(sound, sample_rate=self.pipeline.sample_rate, channel=recipe.channel, resample=recipe.resample)

    def _read(self, item: Input, lengths: list[int]) -> Iterator[NDArray[np.float32]]:
        with AudioFile(item.audio) as sound:
            waveform = self._waveform(sound)
            yield from waveform.blocks()
        lengths.append(waveform.num_samples)


def feature_path(out: Path, item: Input) -> Path:
    """Where the features of `item` go."""
    return out / f"{item.id}.npy"


def error_line(item: Input, stage: str, error: BaseException) -> ErrorLine:
    """The line of an input that failed by `error`; where another one caused it, that one gives the class."""
    return ErrorLine(item.id, item.audio, stage, type(error.__cause__ or error).__name__, str(error))
