"""Runs that end before they are done: killed, interrupted, or with a worker gone. What is on disk stays true."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import soundfile

from tests.extraction.runs import (
    check_truth,
    errors,
    features,
    half_written,
    manifest,
    run_json,
    start,
    temporaries,
    wait_until,
    write_silence,
)
from tests.sounds import noise

LONG = ("m_long", "n_long")  # twenty minutes each: still at work whenever they are looked at


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Three short sounds, two long ones, three short ones."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name in "abcxyz":
        soundfile.write(folder / f"{name}.wav", noise(8000), 16000)
    for name in LONG:
        write_silence(folder / f"{name}.wav", seconds=1200)
    return folder


@contextmanager
def running(corpus: Path, out: Path, jobs: int) -> Iterator[subprocess.Popen[bytes]]:
    """A run that has three lines in its manifest and is in the middle of as many long sounds as it has jobs."""
    process = start("extract", corpus, "--output", out, "--jobs", str(jobs), start_new_session=True)

    def in_the_middle() -> bool:
        assert process.poll() is None
        return len(half_written(out, 1 << 20)) == jobs and len(manifest(out)) == 3

    try:
        wait_until(in_the_middle)
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _has_ended(process: psutil.Process) -> bool:
    """Gone, or dead and not yet collected by whoever inherited it."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_killed_run_leaves_no_half_written_feature_and_no_wrong_line(corpus: Path, tmp_path: Path, jobs: int) -> None:
    out = tmp_path / "out"
    with running(corpus, out, jobs) as process:
        workers = psutil.Process(process.pid).children()
        process.kill()
        process.wait()
        wait_until(lambda: all(_has_ended(worker) for worker in workers), seconds=5)
    assert sorted(line["id"] for line in manifest(out)) == ["a", "b", "c"]
    assert run_json(out)["status"] == "running"
    check_truth(out)
    assert len(temporaries(out)) == jobs
    if jobs == 1:
        again = start("extract", corpus / "a.wav", "--output", out, "--overwrite")
        assert again.wait(60) == 0
        again.communicate()
        assert temporaries(out) == []
        assert list(features(out)) == ["a.npy"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_control_c_finishes_what_is_in_hand_and_the_same_command_goes_on(
    corpus: Path, tmp_path: Path, jobs: int
) -> None:
    out = tmp_path / "out"
    with running(corpus, out, jobs) as process:
        os.killpg(process.pid, signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in stderr
    assert b"SIGINT: finishing the files in hand" in stderr
    assert b"left undone: the same command again goes on from here" in stderr
    assert run_json(out)["status"] == "interrupted"
    assert run_json(out)["totals"]["files_ok"] == len(manifest(out)) == len(features(out)) == 3 + jobs
    assert errors(out) == temporaries(out) == []
    check_truth(out)
    again = start("extract", corpus, "--output", out)
    assert b"speechconv extract: 8 files, " in again.communicate(timeout=60)[1]
    assert [line["id"] for line in manifest(out)] == ["a", "b", "c", *LONG, "x", "y", "z"]
    assert run_json(out)["totals"]["files_reused"] == 3 + jobs


def test_a_second_control_c_does_not_wait(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with running(corpus, out, jobs=2) as process:
        os.kill(process.pid, signal.SIGINT)
        time.sleep(0.3)
        os.kill(process.pid, signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in stderr
    assert len(manifest(out)) == len(features(out)) == 3
    assert temporaries(out) == []


def test_workers_that_die_are_replaced_and_their_files_tried_again(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with running(corpus, out, jobs=2) as process:
        for path in temporaries(out):
            os.kill(int(path.name.split("-")[-1].removesuffix(".tmp")), signal.SIGKILL)
        assert process.wait(60) == 0
    assert errors(out) == temporaries(out) == []
    assert [line["id"] for line in manifest(out)] == ["a", "b", "c", *LONG, "x", "y", "z"]
    check_truth(out)
