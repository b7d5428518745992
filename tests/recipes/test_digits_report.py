"""Connected digits with CTC: which front-ends are compared, and what the report tells of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from recipes.digits_ctc import compare, costs, report
from recipes.digits_ctc.compare import Job
from recipes.digits_ctc.corpus import find_clips, folds
from tests.recipes.command_faults import failing
from tests.recipes.digits_runs import write_metrics
from tests.recipes.digits_voices import HELD_OUT, VOICES


def test_compare_does_what_is_missing(settings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--data", str(VOICES), "--output", str(tmp_path / "runs"), "--settings", str(settings)]
    few = [*arguments, "--steps", "2", "--folds", HELD_OUT, "--configs", "pcen", "--jobs", "1"]
    compare.main(few)
    assert "1/1" in capsys.readouterr().out
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("metrics.json")}
    assert [path.parent.parent.name for path in before] == ["pcen"]
    compare.main(few)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("metrics.json")} == before


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (["pcen", "logmel"], ["logmel", "logmel-live", "pcen"]),
        (["pcen"], ["pcen"]),
        (["pcen", "shuffle-1", "--live", "shuffle-1"], ["pcen", "shuffle-1", "shuffle-1-live"]),
        (["pcen", "--live", "shuffle-1", "logmel"], ["logmel-live", "pcen", "shuffle-1-live"]),
        (["logmel", "--live"], ["logmel"]),
    ],
)
def test_compare_trains_the_fixed_front_end_live_too_and_whichever_else_is_asked_for(
    asked: list[str], expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work: list[Job] = []
    monkeypatch.setattr(compare, "compare", lambda jobs, _: work.extend(jobs))
    compare.main(["--data", str(VOICES), "--output", str(tmp_path), "--seeds", "3", "--configs", *asked])
    named = [fold.name for fold in folds(find_clips(VOICES))]
    assert [job.run for job in work] == [tmp_path / name / f"{fold}-seed3" for name in expected for fold in named]
    assert [job.live for job in work] == [name.endswith("-live") for name in expected for _ in named]


def test_a_twin_alone_is_trained_with_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(compare.Children, "run", lambda _, command: commands.append(command))
    for live in (False, True):
        Job((VOICES,), tmp_path, "shuffle-1", "shuffle-1", HELD_OUT, 0, live).work(compare.Children())
    said = [(Path(command[1]).name, "--live" in command) for command in commands]
    assert said == [("train.py", False), ("evaluate.py", False), ("train.py", True), ("evaluate.py", False)]


def test_report_tells_means_and_differences_on_the_same_utterances(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for config, errors in (("pcen", [1, 1, 1, 1]), ("logmel", [2, 2, 2, 2])):
        write_metrics(tmp_path / config / "without-ann-seed0", errors)
        write_metrics(tmp_path / config / "without-bob-seed0", [0, 0])
        write_metrics(tmp_path / config / "official-seed0", [0, 1])
    report.main([str(tmp_path)])
    rows = cells(capsys.readouterr().out)
    by_name = {row[0]: row for row in rows[2:4]}
    assert list(by_name) == ["logmel", "pcen"]
    assert by_name["pcen"][1:5] == [
        "12.5 (12.5 to 12.5)",
        "-12.5 (-12.5 to -12.5)",
        "12.5 (0.0 to 25.0)",
        "+0.0 (+0.0 to +0.0)",
    ]
    assert by_name["logmel"][1:5] == ["25.0 (25.0 to 25.0)", "", "12.5 (0.0 to 25.0)", ""]
    assert by_name["pcen"][5:] == ["50.0", "1,234", "3", "100", "0.0100"]
    assert rows[-1] == ["pcen", "25.0", "0.0"]
    assert "no tested run in" in failing(report.main, [str(tmp_path / "logmel")], capsys)


def cells(printed: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.splitlines() if "|" in line]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """logmel, right on ann and wrong on bob, and a front-end that is no better."""
    for config in ("logmel", "pcen"):
        write_metrics(tmp_path / config / "without-ann-seed0", [0, 0])
        write_metrics(tmp_path / config / "without-bob-seed0", [2, 2])
    return tmp_path


@pytest.mark.parametrize("command", [report.main, costs.main])
@pytest.mark.parametrize(
    ("trained", "line"),
    [
        (["without-ann-seed0"], "conformer: 1 of 2 folds, left out"),
        (["official-seed0", "without-ann-seed0"], "conformer: 1 of 2 folds, left out"),
        (["without-ann-seed0", "without-bob-seed0", "without-ann-seed1"], "conformer: 1 of 2 folds, left out"),
        (["without-ann-seed0", "without-eve-seed0"], "conformer: 1 of 2 folds and 1 of its own, left out"),
    ],
)
def test_who_was_tested_on_the_easy_speaker_alone_is_not_set_beside_the_others(
    runs: Path,
    trained: list[str],
    line: str,
    command: Callable[[list[str]], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    for run in trained:
        write_metrics(runs / "conformer" / run, [0, 0])
    command([str(runs)])
    printed = capsys.readouterr().out
    assert {row[0] for row in cells(printed)} & {"logmel", "pcen", "conformer"} == {"logmel", "pcen"}
    assert [said for said in printed.splitlines() if "conformer" in said] == [line]


@pytest.mark.parametrize("command", [report.main, costs.main])
def test_who_was_tested_with_more_seeds_on_every_speaker_stays(
    runs: Path, command: Callable[[list[str]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (0, 1):
        write_metrics(runs / "conformer" / f"without-ann-seed{seed}", [0, 0])
        write_metrics(runs / "conformer" / f"without-bob-seed{seed}", [2, 2])
    command([str(runs)])
    (row, *_) = [row for row in cells(capsys.readouterr().out) if row[0] == "conformer"]
    assert [cell for cell in row if cell.startswith("25.0 (")]


def test_without_the_baseline_all_folds_are_asked_for(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (runs / "logmel" / "without-ann-seed0" / "metrics.json").unlink()
    (runs / "logmel" / "without-bob-seed0" / "metrics.json").unlink()
    write_metrics(runs / "conformer" / "without-ann-seed0", [0, 0])
    report.main([str(runs)])
    printed = capsys.readouterr().out
    assert printed.endswith("\nconformer: 1 of 2 folds, left out\n")
    assert "| pcen |" in printed


def test_the_official_split_s_isolated_digits_do_not_pass_for_those_of_speakers_left_out(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What does not hang on who speaks is told from there."""
    write_metrics(runs / "conformer" / "official-seed0", [1, 0])
    report.main([str(runs)])
    head, _, *rows = cells(capsys.readouterr().out)
    row = dict(zip(head, next(row for row in rows if row[0] == "conformer"), strict=True))
    assert row["leave one out, WER %"] == row["isolated, left out, % right"] == ""
    assert row["official, WER %"].startswith("12.5 (")
    assert (row["lookahead ms"], row["real-time factor"]) == ("100", "0.0100")
