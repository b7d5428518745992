"""A run's folder: whole files or none, whatever is in the way, and a log that tells each step once."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from recipes.ctc.run_folder import RunFolder


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path / "run")
    run.begin({"steps": 3})
    return run


@pytest.fixture
def full_disk() -> Iterator[None]:
    """No file may grow beyond 2,000 bytes: what a full disk does, without filling one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_is_full_leaves_the_checkpoint_before(run: RunFolder, request: pytest.FixtureRequest) -> None:
    run.save_checkpoint({"step": 1})
    before = sorted(run.path.iterdir())
    request.getfixturevalue("full_disk")
    with pytest.raises(OSError, match="File too large"):
        run.save_checkpoint({"step": 2, "weights": torch.zeros(10_000)})
    with pytest.raises(OSError, match="File too large"):
        run.write("config.json", ["long"] * 10_000)
    assert run.checkpoint() == {"step": 1}
    assert run.config() == {"steps": 3}
    assert sorted(run.path.iterdir()) == before


def test_two_trainings_at_once_in_one_folder_are_refused(run: RunFolder) -> None:
    with run.alone():
        message = r"another training is at work in .*run; wait for it, or choose another --output\."
        with pytest.raises(ValueError, match=message), run.alone():
            pass
    with run.alone():
        pass


def test_a_damaged_checkpoint_is_told(run: RunFolder) -> None:
    run.save_checkpoint({"step": 1})
    path = run.path / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"checkpoint\.pt is damaged; remove it"):
        run.checkpoint()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"model_type": "wav2vec2"}', r"config\.json is not a run's; expected a folder which train\.py made"),
        ("[]", r"config\.json is not a run's"),
        ('{"config": {"steps"', r"config\.json is not valid JSON"),
    ],
)
def test_a_config_of_something_else_is_told(run: RunFolder, content: str, words: str) -> None:
    (run.path / "config.json").write_text(content)
    with pytest.raises(ValueError, match=words):
        run.config()
    with pytest.raises(ValueError, match=words):
        run.begin({"steps": 3})
    assert (run.path / "config.json").read_text() == content


def test_a_config_may_hold_tuples(tmp_path: Path) -> None:
    """JSON makes lists of them, which are no difference."""
    run = RunFolder(tmp_path / "run")
    run.begin({"pauses": (0.1, 0.2), "steps": 3})
    run.begin({"pauses": (0.1, 0.2), "steps": 3})
    with pytest.raises(ValueError, match=r"another config: steps was 3, is now 4;"):
        run.begin({"pauses": (0.1, 0.2), "steps": 4})


def test_the_log_goes_back_to_the_step_of_the_checkpoint(run: RunFolder) -> None:
    run.cut_log(0)
    assert not (run.path / "log.jsonl").exists()
    for step in (10, 20, 30):
        run.log({"step": step})
    with open(run.path / "log.jsonl", "a") as file:
        file.write('{"step": 4')  # and then the kill
    run.cut_log(20)
    run.log({"step": 30, "again": True})
    assert [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()] == [
        {"step": 10},
        {"step": 20},
        {"step": 30, "again": True},
    ]
