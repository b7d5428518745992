"""Connected digits with CTC: which front-ends are compared, and what the report tells of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from recipes.digits_ctc import compare, report
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


def test_compare_trains_the_causal_twin_of_an_encoder(settings: Path, tmp_path: Path) -> None:
    arguments = ["--data", str(VOICES), "--output", str(tmp_path), "--settings", str(settings), "--folds", HELD_OUT]
    compare.main([*arguments, "--steps", "2", "--configs", "shuffle-1", "--live", "shuffle-1", "--jobs", "1"])
    lookahead = {result.name: result.mean("lookahead_samples") for result in report.find_results(tmp_path)}
    assert lookahead["shuffle-1-live"] == 256 - 1 < lookahead["shuffle-1"]  # the spectrum's window alone


def test_report_tells_means_and_differences_on_the_same_utterances(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for config, errors in (("pcen", [1, 1, 1, 1]), ("logmel", [2, 2, 2, 2])):
        write_metrics(tmp_path / config / "without-ann-seed0", errors)
        write_metrics(tmp_path / config / "without-bob-seed0", [0, 0])
        write_metrics(tmp_path / config / "official-seed0", [0, 1])
    report.main([str(tmp_path)])
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines() if "|" in line
    ]
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
