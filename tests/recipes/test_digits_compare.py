"""The comparison of front-ends: which files it takes; its processes end with it, whatever ends them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recipes.digits_ctc.compare import Children, Job, compare, main
from recipes.digits_ctc.config import CONFIGS
from tests.recipes.command_faults import failing
from tests.recipes.digits_voices import VOICES

ROOT = Path(__file__).parents[2]


# Front-ends of one's own.


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder with two front-ends, one of them of a name that the recipe has too."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my").mkdir()
    for name in ("mine", "pcen"):
        (tmp_path / "my" / f"{name}.toml").write_text((CONFIGS / "stft-window.toml").read_text("utf-8"), "utf-8")
    return tmp_path


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """What was to be done, instead of doing it."""
    work: list[Job] = []
    monkeypatch.setattr("recipes.digits_ctc.compare.compare", lambda jobs, _: work.extend(jobs))
    return work


def test_a_file_s_runs_are_in_a_folder_of_its_name(mine: Path, planned: list[Job]) -> None:
    configs = [str(mine / "my" / "mine.toml"), "my/pcen.toml", "logmel.toml"]
    arguments = ["--data", str(VOICES), "--folds", "official", "--live", "my/pcen.toml", "logmel.toml"]
    main([*arguments, "--configs", *configs])
    assert {(job.config, job.run) for job in planned} == {
        (config, Path("runs") / name / "official-seed0")
        for config, name in (
            *zip(configs, ("mine", "pcen", "logmel"), strict=True),
            ("my/pcen.toml", "pcen-live"),
            ("logmel.toml", "logmel-live"),
        )
    }
    planned.clear()
    main(["--data", str(VOICES), "--folds", "official", "--configs", "my/mine.toml", "logmel.toml"])
    assert [job.run.parts[1] for job in planned] == ["logmel", "logmel-live", "mine"]


@pytest.mark.parametrize("option", ["--configs", "--live"])
def test_two_front_ends_of_one_name_are_refused(
    option: str, mine: Path, planned: list[Job], capsys: pytest.CaptureFixture[str]
) -> None:
    said = failing(main, ["--data", str(VOICES), option, "pcen", "my/pcen.toml"], capsys)
    assert "pcen and my/pcen.toml would both be trained as pcen" in said
    assert not planned


def test_a_front_end_that_cannot_be_trained_is_told_before_the_first_training(
    mine: Path, planned: list[Job], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", str(VOICES), "--configs", "logmel"]
    assert "no config my/mien.toml" in failing(main, [*arguments, "my/mien.toml"], capsys)
    odd = (CONFIGS / "logmel.toml").read_text("utf-8").replace("hop_length = 80", "hop_length = 60")
    (mine / "my" / "odd.toml").write_text(odd, "utf-8")
    assert "odd gives a frame every 60 samples" in failing(main, [*arguments, "my/odd.toml"], capsys)
    assert "no config logmle" in failing(main, [*arguments, "--live", "logmle"], capsys)
    assert not planned


# How it ends.


def group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_whoever_stops_the_comparison_stops_its_trainings(tmp_path: Path, number: signal.Signals) -> None:
    """The signal goes to the comparison alone, as `kill` sends it; a terminal's Ctrl-C goes to all of them."""
    script = str(ROOT / "recipes" / "digits_ctc" / "compare.py")
    command = [sys.executable, script, "--data", str(VOICES), "--output", str(tmp_path), "--configs", "logmel"]
    with subprocess.Popen(
        [*command, "--steps", "1000000", "--folds", "official", "--jobs", "1"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            while not list(tmp_path.rglob("config.json")) and process.poll() is None:
                time.sleep(0.05)
            process.send_signal(number)
            _, said = process.communicate(timeout=30)
            assert not group_lives(process.pid)
        finally:
            if group_lives(process.pid):
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "stopped; the same command goes on from the last checkpoint."


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def test_a_process_that_fails_is_told_by_its_last_words() -> None:
    children = Children()
    children.run(python("print('well')"))
    with pytest.raises(ValueError, match=r"failed: error: no folder nowhere$"):
        children.run(python("import sys; sys.exit('some warning\\nerror: no folder nowhere')"))


def test_a_process_that_was_killed_is_told_too() -> None:
    """As one is that took too much memory: it says nothing."""
    with pytest.raises(ValueError, match=r"failed: exit status -9$"):
        Children().run(python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"))


def test_nothing_is_started_once_all_is_stopped(tmp_path: Path) -> None:
    children = Children()
    children.stop()
    with pytest.raises(ValueError, match="is not started any more"):
        children.run(python(f"open({str(tmp_path / 'begun')!r}, 'w')"))
    assert not list(tmp_path.iterdir())


def test_the_first_fault_ends_the_comparison(tmp_path: Path) -> None:
    nowhere = (tmp_path / "nowhere",)
    work = [Job(nowhere, tmp_path, name, name, "official", 0, live=False) for name in ("logmel", "pcen")]
    with pytest.raises(ValueError, match=r"logmel.* failed: error: no folder .*nowhere"):
        compare(work, 1)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match=r"jobs \(=0\) must be an integer >= 1"):
        compare(work, 0)
