"""extract: inputs in, feature files and reports out, whatever single inputs or workers do."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from speechconv.audio.waveform import Channel, Resample
from speechconv.checks import check_count
from speechconv.disk import is_disk_full
from speechconv.stores.feature_file import remove_temporaries
from speechconv.extraction.inputs import Input, find_inputs
from speechconv.extraction.ledger import Ledger
from speechconv.stores.manifest import MANIFEST, Line, Reports, forget_earlier_run
from speechconv.extraction.pipelines import one_torch_thread
from speechconv.extraction.run_record import RunRecord
from speechconv.extraction.summary import Status, Summary
from speechconv.extraction.supervisor import Supervisor, Task
from speechconv.extraction.worker import Extractor, Recipe
from speechconv.pipeline import Pipeline


class Interrupted(KeyboardInterrupt):
    """Ctrl-C ended a run; everything that was complete by then is on disk and in the reports.

    Attributes:
        summary: what the run came to.
    """

    def __init__(self, summary: Summary) -> None:
        super().__init__(str(summary))
        self.summary = summary


def extract(
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    pipeline: str | os.PathLike[str] | Pipeline = "logmel",
    overrides: Mapping[str, Any] | None = None,
    jobs: int = 1,
    channel: Channel = "mix",
    resample: Resample = "auto",
    overwrite: bool = False,
    random_weights: int | None = None,
    progress: bool = False,
) -> Summary:
    """Features of sound files, one .npy of (frames, channels) float32 for each, with a manifest and an error report.

    Files are read block by block, so that one of any length fits; only a pipeline that cannot stream (Whisper's, MFCC
    with top_db) takes each file whole, and memory grows with the file's length.

    Args:
        inputs: files, folders (searched for wav, flac, ogg and mp3, sorted) and globs ("**" too).
        out: output folder. `out/ID.npy` mirrors the input tree; manifest.jsonl, errors.jsonl (`ManifestLine`,
            `ErrorLine`) and run.json (`run_record`) tell about all of it.
        pipeline: preset name, .toml or .safetensors file, or a pipeline.
        overrides: other values for a preset's keys: {"sample_rate": 8000, "mel.n_mels": 40}.
        jobs: worker processes; 1 works in this process. The bytes of the features do not depend on it.
        channel: "mix" for the mean of all channels, or one of them, counted from 0.
        resample: "auto" brings another sample rate to the pipeline's, "error" makes it an error.
        overwrite: forget an earlier run in `out`: its reports and the feature files that its manifest names.
        random_weights: seed for a pipeline that has no weights of its own; without it such a pipeline is refused.
        progress: a bar on stderr if that is a terminal.

    Returns:
        What the run came to; inputs that failed are counted in it and told in errors.jsonl.

    Raises:
        ValueError, TypeError, FileNotFoundError: an argument that cannot be used; nothing was written.
        Interrupted: Ctrl-C; a KeyboardInterrupt with the summary.

    Example:
        >>> import numpy, soundfile, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     soundfile.write(f"{folder}/tone.wav", numpy.sin(numpy.arange(16000.0)), 16000)
        ...     summary = extract(f"{folder}/tone.wav", f"{folder}/features")
        ...     numpy.load(f"{folder}/features/tone.npy").shape, summary.files_ok
        ((101, 80), 1)
    """
    started = time.monotonic()
    named = [os.fspath(name) for name in ([inputs] if isinstance(inputs, str | os.PathLike) else inputs)]
    options = {
        "inputs": named,
        "pipeline": "a pipeline" if isinstance(pipeline, Pipeline) else os.fspath(pipeline),
        "overrides": dict(overrides or {}),
        "jobs": check_count("jobs", jobs),
        "channel": channel,
        "resample": resample,
        "overwrite": overwrite,
        "random_weights": random_weights,
    }
    recipe = Recipe(Path(out), pipeline, dict(overrides or {}), channel, resample, random_weights)
    items = find_inputs(named)
    _check_unused(recipe.out, overwrite)
    with one_torch_thread():
        extractor = Extractor(recipe)
        _prepare(recipe.out)
        record = RunRecord(recipe.out, extractor.pipeline, options)
        summary = _run(items, _results(items, extractor, jobs), record, started, progress)
    if summary.status == "interrupted":
        raise Interrupted(summary)
    return summary


def _check_unused(out: Path, overwrite: bool) -> None:
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file; expected a folder for the features.")
    if (out / MANIFEST).exists() and not overwrite:
        raise ValueError(
            f"{out} holds an earlier run ({MANIFEST}); choose another folder, or replace that run by overwrite=True "
            "(--overwrite)."
        )


def _prepare(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    forget_earlier_run(out)
    remove_temporaries(out)


Results = Generator[tuple[int, Line], None, None]


def _results(items: Sequence[Input], extractor: Extractor, jobs: int) -> Results:
    """(index, line) of every input that can be tried, as they get done."""
    tasks = [Task(index, item) for index, item in enumerate(items) if item.problem is None]
    if jobs == 1:
        return ((task.index, extractor(task.item)) for task in tasks)
    return Supervisor(extractor.recipe, jobs).run(tasks)


def _run(items: Sequence[Input], results: Results, record: RunRecord, started: float, progress: bool) -> Summary:
    """Everything after the checks: reports from the first line to the last."""
    status: Status = "failed"
    record.begin()
    with Reports(record.out) as reports:
        ledger = Ledger(items, reports, progress)
        try:
            status = _drive(results, ledger)
        finally:
            seconds = time.monotonic() - started
            summary = ledger.tally.summary(record.out, status, files=len(items), wall_seconds=seconds)
            with contextlib.suppress(OSError) if status == "disk full" else contextlib.nullcontext():
                record.end(summary)
    return summary


def _drive(results: Results, ledger: Ledger) -> Status:
    """Work until all is done, Ctrl-C, or a full disk; then write what is complete."""
    status: Status = "finished"
    try:
        with contextlib.closing(results):
            for index, line in results:
                ledger.take(index, line)
    except KeyboardInterrupt:
        status = "interrupted"
    except OSError as error:
        status = _disk_full_or_raise(error)
    try:
        ledger.close()
    except OSError as error:
        status = _disk_full_or_raise(error)
    return status


def _disk_full_or_raise(error: OSError) -> Status:
    if not is_disk_full(error):
        raise error
    return "disk full"
