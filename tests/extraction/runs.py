"""Shared by the tests of extract: real command lines, long sounds, and a look at what a run left."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.sounds import wav_bytes

COMMAND = [sys.executable, "-m", "speechconv"]


def json_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def manifest(out: Path) -> list[dict[str, Any]]:
    return json_lines(out / "manifest.jsonl")


def errors(out: Path) -> list[dict[str, Any]]:
    return json_lines(out / "errors.jsonl")


def run_json(out: Path) -> dict[str, Any]:
    return json.loads((out / "run.json").read_text("utf-8"))


def temporaries(out: Path) -> list[Path]:
    return [path for path in out.rglob(".speechconv-*") if path.is_file()]


def half_written(out: Path, least: int) -> list[Path]:
    """Feature files that are being written and have `least` bytes; one may get its name while we look."""
    large = []
    for path in temporaries(out):
        with contextlib.suppress(FileNotFoundError):
            large += [path] * (path.stat().st_size >= least)
    return large


def features(out: Path) -> dict[str, bytes]:
    """Every feature file's bytes by its path under `out`."""
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*.npy"))}


def check_truth(out: Path) -> None:
    """Every line of the manifest is true of its file, and every feature file is whole."""
    for line in manifest(out):
        array = np.load(out / line["path"])
        assert hashlib.sha256(array.tobytes()).hexdigest() == line["sha256"]
        assert array.shape == (line["frames"], line["channels"])
    for path in out.rglob("*.npy"):
        assert np.load(path).ndim == 2


def write_silence(path: Path, seconds: int, sample_rate: int = 16000) -> None:
    """A long WAV of zeros that takes no room on disk."""
    size = 2 * seconds * sample_rate
    header = bytearray(wav_bytes(b"", sample_rate=sample_rate, data_size=size))
    header[4:8] = struct.pack("<I", len(header) - 8 + size)
    with open(path, "wb") as file:
        file.write(header)
        file.truncate(len(header) + size)


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Until `condition()` is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "what the test waits for did not happen"
        time.sleep(0.005)


def forbid(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking into `folder` fails as without permission; the superuser may, so a mode would not do."""
    scandir = os.scandir

    def refuse(place: str) -> Any:
        if Path(place) == folder:
            raise PermissionError(errno.EACCES, "Permission denied", place)
        return scandir(place)

    monkeypatch.setattr(os, "scandir", refuse)


def without_seconds(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Lines of a manifest but for the time that each took, which is another one each time."""
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def start(*arguments: str | Path, start_new_session: bool = False) -> subprocess.Popen[bytes]:
    """`speechconv ...` as a process of its own."""
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        start_new_session=start_new_session,
    )


def peak_kibibytes(program: str, *arguments: str | Path) -> int:
    """Peak memory of a Python program in a process of its own, by Linux's count for that program alone. (`ru_maxrss`
    begins with what the process had that started it.)"""
    count = "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    command = [sys.executable, "-c", f"import sys\n{program}\n{count}", *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stdout.splitlines()[-1])


EXTRACT = "from speechconv.cli import main; assert main(['extract', *sys.argv[1:]]) == 0"
"""The command as a program for `peak_kibibytes`."""
