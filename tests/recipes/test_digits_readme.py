"""Connected digits with CTC: the commands of its README, as they stand there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from recipes.digits_ctc import compare, costs, evaluate, prepare, publish, report, stream, train, voices
from recipes.digits_ctc.compare import Job
from recipes.digits_ctc.config import ENCODERS, front_ends
from recipes.digits_ctc.corpus import SAMPLE_RATE, find_clips, read

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "recipes" / "digits_ctc"
BLOCKS = re.findall(r"```sh\n(.*?)```", (FOLDER / "README.md").read_text("utf-8"), re.DOTALL)
MAINS = {
    f"recipes/digits_ctc/{script.__name__.rpartition('.')[2]}.py": script.main
    for script in (compare, costs, evaluate, prepare, publish, report, stream, train, voices)
}
SPEAKERS = {"usm1": "lucas", "usf1": "theo"}
FOLDS = ("official", "without-lucas", "without-theo")


def commands(block: str) -> Iterator[Callable[[], None]]:
    for line in block.splitlines():
        python, script, *arguments = shlex.split(line)
        assert python == "python"
        yield lambda main=MAINS[script], arguments=arguments: main(arguments)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a user works: recipes/ is there, and FSDD, here of two voices; a training takes two steps."""
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    recordings = tmp_path / "FSDD" / "recordings"
    recordings.mkdir(parents=True)
    for clip in find_clips(ROOT / "audio_samples" / "digits"):
        if clip.speaker in SPEAKERS:
            name = f"{clip.digit}_{SPEAKERS[clip.speaker]}_{clip.take}.wav"
            soundfile.write(recordings / name, read(clip), SAMPLE_RATE)
    short = tmp_path / "short.toml"
    short.write_text("[training]\nsteps = 2\nbatch = 2\n")
    monkeypatch.setattr(train, "SETTINGS", short)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_all_commands_are_tested() -> None:
    assert len(BLOCKS) == 4
    said = {line.split()[1] for block in BLOCKS for line in block.splitlines()}
    assert said == MAINS.keys()


def test_preparing_training_testing_and_listening(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare_, train_, evaluate_, stream_ = commands(BLOCKS[0])
    prepare_()
    assert {path.stem for path in (folder / "folds").iterdir()} == set(FOLDS)
    train_()
    capsys.readouterr()
    evaluate_()
    assert "% words wrong" in capsys.readouterr().out
    stream_()
    assert capsys.readouterr().out


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """What compare.py was to do, instead of doing it."""
    jobs: list[Job] = []
    monkeypatch.setattr(compare, "compare", lambda work, _: jobs.extend(work))
    return jobs


@pytest.mark.usefixtures("folder")
def test_comparing_takes_every_front_end_to_every_fold(done: list[Job], capsys: pytest.CaptureFixture[str]) -> None:
    compare_, report_ = commands(BLOCKS[1])
    compare_()
    assert {(job.config, job.fold, job.live) for job in done} == {
        (config, fold, live)
        for config in front_ends()
        for fold in FOLDS
        for live in (False, True)
        if config == "logmel" or not live
    }
    assert {job.run.parts[0] for job in done} == {"runs"}
    Path("runs").symlink_to(FOLDER / "results")
    report_()
    assert "| logmel |" in capsys.readouterr().out


@pytest.mark.usefixtures("folder")
def test_costs_are_those_of_all_encoders_on_the_speakers_left_out(
    done: list[Job], capsys: pytest.CaptureFixture[str]
) -> None:
    compare_, costs_ = commands(BLOCKS[2])
    compare_()
    folds = {path.name for path in (FOLDER / "results" / "logmel").iterdir()} - {"official-seed0"}
    live = {path.name for path in (FOLDER / "results").glob("*-live")} - {"logmel-live"}
    assert {(job.name, job.run.name) for job in done} == {(name, fold) for name in {*ENCODERS, *live} for fold in folds}
    Path("runs").symlink_to(FOLDER / "results")
    costs_()
    assert Path("costs.png").stat().st_size > 10_000
    table = capsys.readouterr().out.strip()
    assert table in (FOLDER / "README.md").read_text("utf-8")


def test_the_preset_is_made_of_real_and_synthetic_speakers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    voices_, train_, publish_ = commands(BLOCKS[3])
    monkeypatch.setattr(voices, "say", lambda *_: np.ones(1000, np.float32) / 2)
    voices_()
    assert len(find_clips(folder / "voices")) == 10 * 10 * 3
    trained: list[train.Config] = []
    monkeypatch.setattr(train, "train_run", lambda config, *_: trained.append(config))
    train_()
    assert [config.name for config in trained] == ["stft-delta"]
    published: list[Path] = []
    monkeypatch.setattr(publish, "publish", lambda run, _: published.append(run.path))
    publish_()
    assert published == [Path("run")]
