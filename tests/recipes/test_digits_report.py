"""Connected digits with CTC: which front-ends are compared, and what the report tells of them."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from recipes.digits_ctc import compare, report
from recipes.digits_ctc.config import SETTINGS
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


def test_compare_trains_the_fixed_front_end_live_too(tmp_path: Path) -> None:
    args = argparse.Namespace(
        data=[VOICES], output=tmp_path, settings=SETTINGS, steps=None, seeds=[3], folds=None, configs=["pcen", "logmel"]
    )
    work = list(compare.jobs(args))
    named = [fold.name for fold in folds(find_clips(VOICES))]
    expected = [("logmel", False), ("logmel", True), ("pcen", False)]
    assert [(job.config, job.live, job.fold) for job in work] == [(*how, fold) for how in expected for fold in named]
    assert work[len(named)].run == tmp_path / "logmel-live" / f"{named[0]}-seed3"


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
