"""run.json: what ran, with which versions, and how it ended. Its keys are stable.

recipe              names everything that changes bytes
ingredients         all of it: pipeline (TOML; of one with stages of your own, how Python prints it and their numbers),
                    weights (sha256 of all its weights and statistics), channel, resample, dtype, precision, device,
                    batch
store               npy, kaldi, hdf5, tar, safetensors or parquet
shard               "3/8" for the part of a run that --shard chose; null for all of it
versions            of speechconv, torch, numpy, soundfile, soxr, python
argv                the command line of the process
options             as given to `extract`
inputs              how each input was read
started, ended      UTC, ISO 8601; ended is null while the run goes on
status              "running" (also after a kill), "finished", "interrupted", "disk full", "failed"
totals              files_ok, files_reused, files_failed, files_skipped, files_left, frames, audio_seconds and
                    wall_seconds; null while it runs
real_time_factor    wall seconds for one second of the audio that this run computed; null without any
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from speechconv.extraction.recipe import Facts
from speechconv.extraction.summary import Summary
from speechconv.stores.record import RUN
from speechconv.stores.whole_file import whole_file

TOTALS = (
    "files_ok",
    "files_reused",
    "files_failed",
    "files_skipped",
    "files_left",
    "frames",
    "audio_seconds",
    "wall_seconds",
)


class RunRecord:
    """run.json of one run, replaced as a whole each time.

    Args:
        out: the output folder; also an attribute.
        facts: of the recipe.
        options: as given to `extract`.
        inputs: how each input was read.
    """

    def __init__(self, out: Path, facts: Facts, options: Mapping[str, Any], inputs: Sequence[str]) -> None:
        self.out = out
        self._fields: dict[str, Any] = {
            "recipe": facts.recipe,
            "ingredients": dict(facts.ingredients),
            "store": options["store"],
            "shard": options["shard"],
            "versions": dict(facts.versions),
            "argv": sys.argv,
            "options": dict(options),
            "inputs": list(inputs),
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
        write_run(self.out, self._fields)


def write_run(out: Path, fields: Mapping[str, Any]) -> None:
    """Replace `out`'s run.json as a whole."""
    with whole_file(out / RUN) as file:
        file.write(json.dumps(fields, indent=2).encode() + b"\n")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
