"""Workers that die or hang cost the input at fault and no other."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from torch import Tensor

import speechconv as sc
from speechconv.extraction.inputs import Input
from speechconv.extraction.supply import LONG, Supply
from speechconv.extraction.task import Task
from tests.extraction.runs import check_truth, errors, manifest, temporaries
from tests.sounds import noise


class Trap(sc.Layer):
    """Does nothing to features, but dies or sleeps where the loudest one says so."""

    def __init__(self, at: float, then: str) -> None:
        super().__init__()
        self.at, self.then = at, then

    def valid(self, x: Tensor) -> Tensor:
        if x.numel() and float(x.max()) > self.at:
            if self.then == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)
        return x


def trapped(then: str) -> sc.Pipeline:
    return sc.Pipeline([sc.ConvSTFT(400, hop_length=160, output="power"), Trap(1e4, then)], sample_rate=16000)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """40 soft sounds, one loud one among them."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for number in range(40):
        soundfile.write(folder / f"{number:02d}.wav", noise(1600) / 100, 16000)
    soundfile.write(folder / "20_loud.wav", np.ones(1600), 16000)
    return folder


def test_what_kills_two_workers_is_given_up_and_no_other_input(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    summary = sc.extract(corpus, trapped("kill"), out=out, jobs=2)
    (line,) = errors(out)
    assert (line["id"], line["stage"], line["error"]) == ("20_loud", "worker", "ChildProcessError")
    assert "was ended by SIGKILL while it worked on this input, 2 times" in line["message"]
    assert (summary.files_ok, summary.exit_status) == (40, 3)
    assert temporaries(out) == []
    check_truth(out)


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_takes_too_long_is_stopped_and_no_other_input(corpus: Path, tmp_path: Path, jobs: int) -> None:
    out = tmp_path / "out"
    started = time.monotonic()
    summary = sc.extract(corpus, trapped("sleep"), out=out, jobs=jobs, timeout=1.5)
    (line,) = errors(out)
    assert (line["id"], line["stage"], line["error"]) == ("20_loud", "worker", "TimeoutError")
    assert "took longer than 1.5 s and was stopped" in line["message"]
    assert (summary.files_ok, len(manifest(out))) == (40, 40)
    assert time.monotonic() - started < 30
    assert temporaries(out) == []


def test_a_recipe_that_fails_in_the_workers_is_said_as_in_this_process(corpus: Path, tmp_path: Path) -> None:
    for jobs in (1, 2):
        with pytest.raises(ValueError, match="unknown key 'mels'"):
            sc.extract(corpus, out=tmp_path / "out", overrides={"mel.mels": 3}, jobs=jobs)
    assert not (tmp_path / "out").exists()


def test_handfuls_are_of_about_equal_work_and_what_is_long_is_one(tmp_path: Path) -> None:
    sizes = [10, 10, LONG, LONG // 2, LONG // 2, 10, 10, 10]
    tasks: list[Task] = []
    for number, size in enumerate(sizes):
        path = tmp_path / str(number)
        with open(path, "wb") as file:
            file.truncate(size)
        tasks.append(Task(number, Input(str(number), str(path))))
    tasks.append(Task(8, Input("gone", str(tmp_path / "gone"))))
    tasks.append(Task(9, Input("segment", str(tmp_path / "2"), 1.0, 2.0)))
    supply = Supply(tasks)
    found: list[Any] = []
    while supply:
        found.append((supply.is_long, [task.index for task in supply.handful(3)]))
    assert found == [(False, [0, 1]), (True, [2]), (False, [3]), (False, [4, 5, 6]), (False, [7, 8, 9])]
    assert supply.handful(3) == []
