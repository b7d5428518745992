"""run.json: what ran, with which versions, and how it ended. Its keys are stable.

pipeline            TOML of the pipeline (of one with stages that have no TOML name: how Python prints it)
weights             sha256 of all its weights and statistics; null where it has none
versions            of speechconv, torch, numpy, soundfile, soxr, python
argv                the command line of the process
options             inputs, pipeline, overrides, jobs, channel, resample, overwrite, random_weights
started, ended      UTC, ISO 8601; ended is null while the run goes on
status              "running" (also after a kill), "finished", "interrupted", "disk full", "failed"
totals              files_ok, files_failed, files_left, frames, audio_seconds, wall_seconds; null while it runs
real_time_factor    wall seconds for one second of audio; null without audio
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy
import soundfile
import soxr
import torch

from speechconv import __version__
from speechconv.stores.feature_file import temporary_name
from speechconv.extraction.summary import Summary
from speechconv.pipeline import Pipeline

RUN = "run.json"
TOTALS = ("files_ok", "files_failed", "files_left", "frames", "audio_seconds", "wall_seconds")


class RunRecord:
    """run.json of one run, replaced as a whole each time.

    Args:
        out: the output folder; also an attribute.
        pipeline: that makes the features.
        options: as given to `extract`.
    """

    def __init__(self, out: Path, pipeline: Pipeline, options: Mapping[str, Any]) -> None:
        self.out = out
        self._fields: dict[str, Any] = {
            "pipeline": _text(pipeline),
            "weights": _fingerprint(pipeline),
            "versions": _versions(),
            "argv": sys.argv,
            "options": dict(options),
            "started": _now(),
            "ended": None,
            "status": "running",
            "totals": None,
            "real_time_factor": None,
        }

    def begin(self) -> None:
        """Write it before the first input; a run that is killed leaves it so."""
        self._write()

    def end(self, summary: Summary) -> None:
        """Write how the run ended."""
        self._fields |= {
            "ended": _now(),
            "status": summary.status,
            "totals": {name: getattr(summary, name) for name in TOTALS},
            "real_time_factor": summary.real_time_factor,
        }
        self._write()

    def _write(self) -> None:
        temporary = temporary_name(self.out, os.getpid())
        try:
            temporary.write_text(json.dumps(self._fields, indent=2) + "\n", "utf-8")
            os.replace(temporary, self.out / RUN)
        finally:
            temporary.unlink(missing_ok=True)


def _text(pipeline: Pipeline) -> str:
    try:
        return pipeline.to_toml()
    except TypeError:
        return repr(pipeline)


def _fingerprint(pipeline: Pipeline) -> str | None:
    tensors = pipeline.state_dict()
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest() if tensors else None


def _versions() -> dict[str, str]:
    libraries = {module.__name__: str(module.__version__) for module in (torch, numpy, soundfile, soxr)}
    return {"speechconv": __version__, **libraries, "python": platform.python_version()}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
