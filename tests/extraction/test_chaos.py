"""Chaos: workers and the run itself are killed at random moments, bad files are mixed in; nothing is lost or doubled.

SPEECHCONV_CHAOS=N makes it N good files (default 120), for `make slow`.
"""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import time
from pathlib import Path

import psutil
import pytest
import soundfile

import speechconv as sc
from speechconv.extraction.resume import SPOOL
from tests.extraction.runs import errors, json_lines, start, temporaries, wait_until
from tests.slow import only_chaos
from tests.sounds import noise

GOOD = int(os.environ.get("SPEECHCONV_CHAOS", "120"))
BAD = {"empty": b"", "text": b"no sound at all", "half": b"RIFF\x00\x00\x00\x00WAVEfmt "}
KILLS = GOOD // 60
"""Times that the run itself is killed: 2, and 8 in `make slow`."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good files of 0.1 to 2 s, and bad ones among them."""
    folder = tmp_path_factory.mktemp("chaos") / "corpus"
    folder.mkdir()
    for number in range(GOOD):
        soundfile.write(folder / f"good{number:05d}.wav", noise(1600 + 7919 * number % 30000), 16000)
    for number in range(GOOD // 10):
        kind = list(BAD)[number % len(BAD)]
        (folder / f"good{10 * number:05d}_{kind}.wav").write_bytes(BAD[kind])
    return folder


@pytest.fixture(scope="module")
def clean(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """sha256 of each file's features, by a serial run that nobody disturbs."""
    out = tmp_path_factory.mktemp("clean")
    sc.extract(
        corpus, "wavenet-encoder", out=out, random_weights=0, overrides={"wavenet_encoder.residual_channels": 16}
    )
    return {line["id"]: line["sha256"] for line in json_lines(out / "manifest.jsonl")}


def size_of(paths: list[Path]) -> int:
    """Bytes of those that are there."""
    found = 0
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            found += path.stat().st_size
    return found


def harass(run: subprocess.Popen[bytes], out: Path, dice: random.Random) -> None:
    """From the first line on, SIGKILL random workers of a run, at random moments, and at last the run."""
    reports = [out / "manifest.jsonl", out / SPOOL / "manifest.jsonl"]
    before = size_of(reports)
    wait_until(lambda: run.poll() is not None or size_of(reports) != before)
    end = time.monotonic() + dice.uniform(0.8, 2.5)
    while time.monotonic() < end and run.poll() is None:
        time.sleep(dice.uniform(0.05, 0.8))
        with contextlib.suppress(psutil.NoSuchProcess, IndexError):
            dice.choice([child for child in psutil.Process(run.pid).children() if child.is_running()]).kill()
    run.kill()
    run.communicate()


@pytest.mark.parametrize("store", ["npy", pytest.param("tar", marks=only_chaos)])
def test_in_the_end_every_good_file_is_there_once_and_every_bad_one_reported_once(
    corpus: Path, clean: dict[str, str], tmp_path: Path, store: str
) -> None:
    dice = random.Random(store)
    out = tmp_path / "out"
    narrow = ("--set", "wavenet_encoder.residual_channels=16")
    pipeline = ("--pipeline", "wavenet-encoder", "--random-weights", "0", *narrow)  # slow enough to be met at work
    command = ("extract", corpus, "--output", out, *pipeline, "--jobs", "2", "--store", store, "--shard-bytes", "50k")
    for _ in range(KILLS):
        run = start(*command, start_new_session=True)
        harass(run, out, dice)
    last = start(*command)
    assert last.wait(120) == 3
    last.communicate()
    lines = json_lines(out / "manifest.jsonl")
    assert {line["id"]: line["sha256"] for line in lines} == clean
    assert len(lines) == len(clean) == GOOD
    assert len(errors(out)) == len({line["id"] for line in errors(out)}) == GOOD // 10
    assert temporaries(out) == []
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []
    assert {problem.kind for problem in sc.check(out).problems} == {"failed"}
