"""extract: inputs in, features and reports out, whatever single inputs, workers or the machine do."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from speechconv.audio.waveform import Channel, Resample
from speechconv.checks import check_count
from speechconv.extraction.inputs import find_inputs
from speechconv.extraction.one_by_one import Extracted, one_by_one
from speechconv.extraction.options import Options
from speechconv.extraction.progress import ProgressMode
from speechconv.extraction.recipe import Identity, Precision, Recipe
from speechconv.extraction.run import Run
from speechconv.extraction.shard import parse_shard
from speechconv.extraction.summary import Summary
from speechconv.extraction.workforce import EngineName, Workforce
from speechconv.stores.feature_file import Dtype
from speechconv.stores.packer import SHARD_BYTES

if TYPE_CHECKING:
    from speechconv.pipeline import Pipeline

Inputs = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C ended a run; everything that was complete by then is on disk and in the reports.

    Attributes:
        summary: what the run came to.
    """

    def __init__(self, summary: Summary) -> None:
        super().__init__(str(summary))
        self.summary = summary


@overload
def extract(
    inputs: Inputs,
    pipeline: str | os.PathLike[str] | Pipeline = "logmel",
    *,
    out: None = None,
    **options: Unpack[Options],
) -> Iterator[Extracted]: ...
@overload
def extract(
    inputs: Inputs,
    pipeline: str | os.PathLike[str] | Pipeline = "logmel",
    *,
    out: str | os.PathLike[str],
    **options: Unpack[Options],
) -> Summary: ...
def extract(
    inputs: Inputs,
    pipeline: str | os.PathLike[str] | Pipeline = "logmel",
    *,
    out: str | os.PathLike[str] | None = None,
    store: str = "npy",
    dtype: Dtype = "float32",
    shard_bytes: int = SHARD_BYTES,
    overrides: Mapping[str, Any] | None = None,
    random_weights: int | None = None,
    cmvn: str | os.PathLike[str] | None = None,
    channel: Channel | Literal["each"] = "mix",
    resample: Resample = "auto",
    min_duration: float = 0.0,
    max_duration: float | None = None,
    segments: str | None = None,
    allow_commands: bool = False,
    null_separated: bool = False,
    jobs: int = 1,
    timeout: float | None = None,
    engine: EngineName | Executor = "local",
    device: str = "auto",
    precision: Precision | None = None,
    batch: int | None = None,
    shard: str | None = None,
    identity: Identity = "stat",
    overwrite: bool = False,
    resume_mixed: bool = False,
    progress: ProgressMode = "off",
) -> Summary | Iterator[Extracted]:
    """Features of sounds: one after the other, or into a folder with a manifest and reports of what failed.

    With `out` it goes on from where an earlier run into that folder stopped: inputs whose features are there, made of
    the same file by the same recipe, are not computed again. The bytes of features depend on neither jobs, shards,
    engine nor restarts.

    Args:
        inputs: files, folders (searched for wav, flac, ogg and mp3), globs, lists: see `find_inputs`.
        pipeline: preset name, .toml or .safetensors file, or a pipeline.
        out: output folder: features, manifest.jsonl, errors.jsonl, skipped.jsonl (`ManifestLine`, `ErrorLine`,
            `SkippedLine`) and run.json (`run_record`). Without it features come one by one, and nothing is kept.
        store: "npy" (out/ID.npy mirrors the inputs), "kaldi", "hdf5", "tar", "safetensors" or "parquet".
        dtype: that is stored, "float32" or "float16".
        shard_bytes: features in a file of a store that holds many in one.
        overrides: other values for a preset's keys: {"sample_rate": 8000, "mel.n_mels": 40}.
        random_weights: seed for a pipeline that has no weights of its own; without it such a pipeline is refused.
        cmvn: file of global statistics (`speechconv stats`); features are normalised by them.
        channel: "mix" for the mean of all channels, one of them, counted from 0, or "each".
        resample: "auto" brings another sample rate to the pipeline's, "error" makes it an error.
        min_duration, max_duration: seconds; shorter and longer sounds are listed as skipped.
        segments: Kaldi segments file for a wav.scp; "none" to use none.
        allow_commands: run the commands in a wav.scp ("sph2pipe a.sph |").
        null_separated: the list on stdin ("-") has NUL behind each name, not a newline.
        jobs: worker processes; 1 works in this process.
        timeout: seconds after which an input is given up.
        engine: "local", "ray", or an executor of `concurrent.futures`, such as Dask's `client.get_executor()`.
        device: "auto" takes a GPU if there is one; "cpu", "cuda" or "cuda:N".
        precision: that the pipeline computes in: "float32", "bfloat16" or "float64"; None: its own.
        batch: short sounds that go through the pipeline together; None: 1 on a CPU, 16 on a GPU.
        shard: "i/n", the part i (from 0) of n of all inputs, into out/shard-000i-of-000n; "auto" takes it from Slurm or
            torchrun. `speechconv merge` makes one of them.
        identity: "stat" knows an input again by its size and time, "sha256" by its content.
        overwrite: forget an earlier run in `out`: its reports and the features that its manifest names.
        resume_mixed: keep features of other recipes beside those of this one.
        progress: "auto" says how inputs were read, and shows a bar if stderr is a terminal; "json" writes a line a
            second on stderr.

    Returns:
        With `out`, what the run came to; inputs that failed are counted in it and told in errors.jsonl. Without, an
        iterator of `Extracted`, in the order in which they get done.

    Raises:
        ValueError, TypeError, FileNotFoundError: an argument that cannot be used, or features of another recipe in
            `out`; nothing was written.
        RuntimeError: an engine that broke; what is done is kept, the same call goes on from there.
        Interrupted: Ctrl-C; a KeyboardInterrupt with the summary.

    Example:
        >>> import numpy, soundfile, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     soundfile.write(f"{folder}/tone.wav", numpy.sin(numpy.arange(16000.0)), 16000)
        ...     summary = extract(f"{folder}/tone.wav", "logmel", out=f"{folder}/features")
        ...     stored = numpy.load(f"{folder}/features/tone.npy")
        ...     [(item.id, tuple(item.features.shape)) for item in extract(f"{folder}/tone.wav")]
        [('tone', (101, 80))]
        >>> summary.files_ok, stored.shape
        (1, (101, 80))
    """
    options = {name: _plain(value) for name, value in locals().items() if name != "out"}
    each = channel == "each"
    recipe = Recipe(
        folder=Path(),
        pipeline=pipeline,
        overrides=dict(overrides or {}),
        random_weights=random_weights,
        cmvn=None if cmvn is None else Path(cmvn),
        channel="mix" if each else channel,
        resample=resample,
        dtype=dtype,
        precision=precision,
        device=device,
        batch=batch,
        min_duration=min_duration,
        max_duration=max_duration,
        identity=identity,
    )
    workforce = Workforce(check_count("jobs", jobs), timeout, engine)
    part = None if shard is None else parse_shard(shard)
    found = find_inputs(
        _named(inputs),
        segments=segments,
        allow_commands=allow_commands,
        null_separated=null_separated,
        each_channel=each,
    )
    items = [item for item in found.items if part is None or part.holds(item.id)]
    if out is None:
        return one_by_one(items, recipe, workforce, found.statements, progress)
    check_count("shard_bytes", shard_bytes)
    folder = Path(out) if part is None else Path(out) / part.folder
    summary = Run(folder, items, recipe, options | {"shard": part and str(part)}, found.statements, progress)(workforce)
    if summary.status == "interrupted":
        raise Interrupted(summary)
    return summary


def _named(inputs: Inputs) -> list[str]:
    return [os.fspath(name) for name in ([inputs] if isinstance(inputs, str | os.PathLike) else inputs)]


def _plain(value: Any) -> Any:
    """An argument as run.json holds it."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, Sequence):
        return [_plain(part) for part in value]
    return type(value).__name__
