"""The comparison of front-ends: its processes end with it, whatever ends them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recipes.digits_ctc.compare import Children, Job, compare
from tests.recipes.digits_voices import VOICES

ROOT = Path(__file__).parents[2]


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
    work = [Job((tmp_path / "nowhere",), tmp_path, config, "official", 0, live=False) for config in ("logmel", "pcen")]
    with pytest.raises(ValueError, match=r"logmel.* failed: error: no folder .*nowhere"):
        compare(work, 1)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match=r"jobs \(=0\) must be an integer >= 1"):
        compare(work, 0)
