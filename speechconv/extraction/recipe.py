"""What to make of every input: everything that changes a byte of its features, and nothing else. No torch in here."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from speechconv.audio.waveform import Channel, Resample, check_channel, check_resample
from speechconv.checks import check_choice, check_count, check_number
from speechconv.pipeline_source import source_file
from speechconv.stores.feature_file import Dtype

if TYPE_CHECKING:
    from speechconv.pipeline import Pipeline

Precision = Literal["float32", "bfloat16", "float64"]
Identity = Literal["stat", "sha256"]


@dataclass(frozen=True)
class Recipe:
    """What to make of every input; each worker gets a copy.

    Args:
        folder: where workers put feature files.
        pipeline: preset name, file, or a pipeline.
        overrides: other values for a preset's keys.
        random_weights: seed of the weights of a pipeline that has none of its own.
        cmvn: file of global statistics, for one more stage at the end.
        channel, resample: as for `Waveform`.
        dtype: of the stored features.
        precision: that the pipeline computes in; None: its own.
        device: "cpu", "cuda", "cuda:N", or "auto": a GPU if there is one.
        batch: short sounds that go through the pipeline together; None: 1 on a CPU, 16 on a GPU.
        min_duration, max_duration: seconds; sounds outside are skipped.
        identity: "stat" knows an input by its size and time, "sha256" by its content.

    Raises:
        ValueError: an argument outside its range.
    """

    folder: Path
    pipeline: str | os.PathLike[str] | Pipeline = "logmel"
    overrides: Mapping[str, Any] = field(default_factory=dict)
    random_weights: int | None = None
    cmvn: Path | None = None
    channel: Channel = "mix"
    resample: Resample = "auto"
    dtype: Dtype = "float32"
    precision: Precision | None = None
    device: str = "auto"
    batch: int | None = None
    min_duration: float = 0.0
    max_duration: float | None = None
    identity: Identity = "stat"

    def __post_init__(self) -> None:
        check_channel(self.channel)
        check_resample(self.resample)
        check_choice("dtype", self.dtype, get_args(Dtype))
        check_choice("precision", self.precision, (None, *get_args(Precision)))
        check_choice("identity", self.identity, get_args(Identity))
        check_number("min_duration", self.min_duration, least=0)
        if self.max_duration is not None:
            check_number("max_duration", self.max_duration, least=self.min_duration)
        if self.batch is not None:
            check_count("batch", self.batch)
        if self.cmvn is not None and not self.cmvn.is_file():
            raise FileNotFoundError(f"no file of statistics at {self.cmvn}; `speechconv stats DIR` makes one.")
        if isinstance(self.pipeline, str | os.PathLike):
            source_file(self.pipeline)  # what a mistyped name comes to, before torch is loaded for it


@dataclass(frozen=True)
class Facts:
    """What a recipe came to in a process that could build it.

    Attributes:
        ingredients: everything that changes bytes, by name, as text: pipeline (TOML), weights (sha256), channel, ...
        hop_length, channels: of the features.
        sample_rate: of the pipeline.
        versions: of the libraries.
    """

    ingredients: Mapping[str, str]
    hop_length: int
    channels: int
    sample_rate: int
    versions: Mapping[str, str]

    @property
    def recipe(self) -> str:
        """Equal ingredients have equal names, others other ones."""
        canonical = json.dumps(dict(self.ingredients), sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]
