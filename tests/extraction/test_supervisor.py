"""Workers that die or hang take one input with them and nothing else; the supply of work is fair and bounded."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import speechconv as sc
from speechconv.extraction.inputs import Input
from speechconv.extraction.recipe import Recipe
from speechconv.extraction.supervisor import Supervisor
from speechconv.extraction.supply import LONG, Supply
from speechconv.extraction.task import Stop, Task
from tests.extraction.runs import check_truth, errors, manifest, temporaries
from tests.sounds import noise

MAGIC = 0.96875
"""A sample that float WAVs hold exactly, and `noise` never."""


class Killer(sc.Layer):
    """Kills its process where it sees MAGIC."""

    def valid(self, x: torch.Tensor) -> torch.Tensor:
        if (x == MAGIC).any():
            os.kill(os.getpid(), signal.SIGKILL)
        return x


class Sleeper(sc.Layer):
    """Hangs where it sees MAGIC."""

    def valid(self, x: torch.Tensor) -> torch.Tensor:
        if (x == MAGIC).any():
            time.sleep(600)
        return x


def pipeline(layer: sc.Layer) -> sc.Pipeline:
    layer.in_channels = layer.out_channels = 0
    return sc.Pipeline([layer, sc.ConvSTFT(256, hop_length=128, output="power")], sample_rate=16000)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Nine short sounds; 03 and 07 hold MAGIC."""
    (tmp_path / "corpus").mkdir()
    for number in range(9):
        samples = noise(1600, seed=number).ravel()
        if number in (3, 7):
            samples[800] = MAGIC
        soundfile.write(tmp_path / "corpus" / f"{number:02}.wav", samples, 16000, subtype="FLOAT")
    return tmp_path / "corpus"


GOOD = ["00", "01", "02", "04", "05", "06", "08"]


@pytest.mark.usefixtures("forked_workers")
def test_an_input_that_kills_its_worker_twice_is_an_error_line(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    summary = sc.extract(corpus, pipeline(Killer()), out=out, jobs=2)
    assert (summary.files_ok, summary.files_failed, summary.exit_status) == (7, 2, 3)
    assert [line["id"] for line in manifest(out)] == GOOD
    assert [(line["id"], line["stage"], line["error"]) for line in errors(out)] == [
        ("03", "worker", "ChildProcessError"),
        ("07", "worker", "ChildProcessError"),
    ]
    for line in errors(out):
        assert line["message"] == (
            "the worker process was ended by SIGKILL while it worked on this input, 2 times; the others went on."
        )
    check_truth(out)
    assert temporaries(out) == []


@pytest.mark.usefixtures("forked_workers")
def test_an_input_that_takes_too_long_is_an_error_line(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    started = time.monotonic()
    summary = sc.extract(corpus, pipeline(Sleeper()), out=out, jobs=2, timeout=1.5)
    assert time.monotonic() - started < 40
    assert (summary.files_ok, summary.files_failed) == (7, 2)
    assert [line["id"] for line in manifest(out)] == GOOD
    assert [(line["id"], line["stage"], line["error"], line["message"]) for line in errors(out)] == [
        (name, "worker", "TimeoutError", "took longer than 1.5 s and was stopped; the others went on.")
        for name in ("03", "07")
    ]
    check_truth(out)


@pytest.mark.usefixtures("forked_workers")
def test_a_timeout_is_kept_with_one_job_too(corpus: Path, tmp_path: Path) -> None:
    sounds = [corpus / "00.wav", corpus / "03.wav", corpus / "04.wav"]
    summary = sc.extract(sounds, pipeline(Sleeper()), out=tmp_path / "out", timeout=1.0)
    assert [line["id"] for line in manifest(tmp_path / "out")] == ["00", "04"]
    assert [line["error"] for line in errors(tmp_path / "out")] == ["TimeoutError"]
    assert summary.exit_status == 3


def start_and_kill(monkeypatch: pytest.MonkeyPatch, most: int) -> list[int]:
    """The first workers are killed as soon as they are started; the list gets their numbers."""
    start = Supervisor._start
    killed: list[int] = []

    def started(self: Supervisor) -> None:
        start(self)
        process = list(self._workers.values())[-1].process
        if process.pid is not None and len(killed) < most:
            killed.append(process.pid)
            process.kill()

    monkeypatch.setattr(Supervisor, "_start", started)
    return killed


@pytest.mark.parametrize("victims", [1, 2])
def test_workers_that_are_killed_while_they_load_torch_are_replaced(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, victims: int
) -> None:
    killed = start_and_kill(monkeypatch, victims)
    assert sc.extract(corpus, out=tmp_path / "out", jobs=2).files_ok == 9
    assert len(killed) == victims


def test_workers_that_never_get_ready_end_the_run(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_and_kill(monkeypatch, 99)
    with pytest.raises(RuntimeError, match="was ended by SIGKILL before it could begin"):
        sc.extract(corpus, out=tmp_path / "out", jobs=2)
    assert not (tmp_path / "out").exists()


def test_a_script_without_a_guard_is_told_so(corpus: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"import speechconv as sc\nsc.extract({str(corpus)!r}, out={str(tmp_path / 'out')!r}, jobs=2)\n")
    here = os.environ | {"PYTHONPATH": os.getcwd()}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, env=here)
    assert done.returncode == 1
    assert "must do so under `if __name__ == '__main__':`" in done.stderr.splitlines()[-1]


@pytest.mark.usefixtures("forked_workers")
def test_a_lone_worker_gets_more_after_the_only_input_that_it_had_has_ended_it(corpus: Path, tmp_path: Path) -> None:
    """What is long is handed out alone: when it is given up, nothing is in anybody's hands."""
    long = noise(LONG).ravel()
    long[800] = MAGIC
    soundfile.write(corpus / "03.wav", long, 16000, subtype="FLOAT")
    sounds = [corpus / "03.wav", *(corpus / f"{id}.wav" for id in GOOD)]
    summary = sc.extract(sounds, pipeline(Sleeper()), out=tmp_path / "out", timeout=1.0)
    assert (summary.files_failed, summary.files_ok, summary.files_left) == (1, 7, 0)


@pytest.mark.usefixtures("forked_workers")
def test_a_wish_to_stop_ends_the_work_early_and_truthfully(corpus: Path, tmp_path: Path) -> None:
    """What was begun gets its line, the rest none; and no task is taken that would not be begun."""
    stop = Stop()
    taken: list[int] = []

    def tasks() -> Iterator[Task]:
        for number in range(1000):
            taken.append(number)
            yield Task(number, Input(f"x{number}", str(corpus / "00.wav")))

    supervisor = Supervisor(Recipe(tmp_path / "out", pipeline(Killer())), 2)
    supervisor.facts()
    done = []
    for index, line in supervisor.run(tasks(), stop):
        done.append(index)
        assert line.id == f"x{index}"
        stop.requested = True
    assert 0 < len(done) == len(set(done)) <= len(taken) < 400
    assert {path.stem for path in (tmp_path / "out").glob("*.npy")} == {f"x{index}" for index in done}


# Supply


def tasks_of(folder: Path, sizes: list[int]) -> list[Task]:
    """Tasks with files of so many bytes, which take no room on disk."""
    tasks = []
    for number, size in enumerate(sizes):
        path = folder / f"{number}.wav"
        with open(path, "wb") as file:
            file.truncate(size)
        tasks.append(Task(number, Input(str(number), str(path))))
    return tasks


def handfuls(supply: Supply, most: int) -> list[list[int]]:
    found = []
    while supply:
        found.append([task.index for task in supply.handful(most)])
    return found


def test_long_files_are_handed_out_alone(tmp_path: Path) -> None:
    supply = Supply(tasks_of(tmp_path, [10, 10, LONG, 10, LONG + 1, LONG, 10]))
    assert handfuls(supply, 32) == [[0, 1], [2], [3], [4], [5], [6]]


def test_a_handful_has_a_bounded_number_of_tasks_and_bytes(tmp_path: Path) -> None:
    sizes = np.random.default_rng(0).integers(0, LONG // 3, 60).tolist()
    found = handfuls(Supply(tasks_of(tmp_path, sizes)), 5)
    assert [index for handful in found for index in handful] == list(range(60))
    assert max(map(len, found)) <= 5
    assert all(sum(sizes[index] for index in handful) < LONG for handful in found)
    assert min(map(len, found[:-1])) >= 2


def test_the_next_is_long_where_its_file_its_segment_or_its_command_is(tmp_path: Path) -> None:
    (short,) = tasks_of(tmp_path, [10])
    audio = short.item.audio
    cases = [
        (Input("a", audio), False),
        (Input("a", audio, start=0.0, duration=60.0), True),
        (Input("a", audio, start=0.0, duration=1.0), False),
        (Input("a", str(tmp_path / "gone.wav")), False),
        (Input("a", "sph2pipe a.sph |", is_command=True), True),
    ]
    for item, is_long in cases:
        assert Supply([Task(0, item)]).is_long == is_long


def test_a_supply_takes_only_what_is_asked_for(tmp_path: Path) -> None:
    taken = []
    tasks = (taken.append(task.index) or task for task in tasks_of(tmp_path, [10] * 50))
    supply = Supply(tasks)
    assert len(supply.handful(4)) == 4
    assert taken == [0, 1, 2, 3, 4]  # one ahead, to know whether it is long


def test_an_empty_supply_is_over(tmp_path: Path) -> None:
    supply = Supply([])
    assert not supply
    assert not supply.is_long
    assert supply.handful(3) == []
