"""What `extract` can be told, by name and type; its docstring says what each means."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import Executor
from typing import Any, Literal, TypedDict

from speechconv.audio.waveform import Channel, Resample
from speechconv.extraction.progress import ProgressMode
from speechconv.extraction.recipe import Identity, Precision
from speechconv.extraction.workforce import EngineName
from speechconv.stores.feature_file import Dtype


class Options(TypedDict, total=False):
    """Options of `extract` beside `out`."""

    store: str
    dtype: Dtype
    shard_bytes: int
    overrides: Mapping[str, Any] | None
    random_weights: int | None
    cmvn: str | os.PathLike[str] | None
    channel: Channel | Literal["each"]
    resample: Resample
    min_duration: float
    max_duration: float | None
    segments: str | None
    allow_commands: bool
    null_separated: bool
    jobs: int
    timeout: float | None
    engine: EngineName | Executor
    device: str
    precision: Precision | None
    batch: int | None
    shard: str | None
    identity: Identity
    overwrite: bool
    resume_mixed: bool
    progress: ProgressMode
