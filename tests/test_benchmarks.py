"""The benchmarks run, refuse to time what does not agree, and read their own clock rightly."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from benchmarks import budgets, command, encoder, logmel, streams, timing, verification

HEADINGS = "| log-mel | median ms | times real time | times torchaudio's speed |"


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "PAUSE", 0.0)


def test_the_logmel_benchmark_prints_machine_versions_and_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    logmel.main(["--seconds", "0.3", "--batch", "2", "--repeats", "1", "--threads", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == timing.machine()
    assert f"torch {torch.__version__.partition('+')[0]}" in lines[1]
    table = lines[lines.index(HEADINGS) + 2 :][:4]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert [row[0] for row in rows] == ["torchaudio", "librosa", "torch.stft by hand", "speechconv"]
    times_real_time = [float(row[2].replace(",", "")) for row in rows]
    for (*_, speed), times in zip(rows, times_real_time, strict=True):
        assert float(speed) == pytest.approx(times / times_real_time[0], rel=0.01, abs=0.005)  # both as printed
    assert re.search(r"live in 20 ms chunks, one stream, 1 thread: [\d.]+ ms per second of audio", lines[-1])


def test_what_does_not_agree_is_not_timed() -> None:
    functions = {"torchaudio": logmel.torchaudio_logmel(), "louder": lambda wav: logmel.torchaudio_logmel()(2 * wav)}
    with pytest.raises(
        SystemExit, match=r"^louder is 3\.0e\+00 of the largest mel power away from torchaudio; nothing"
    ):
        logmel.check_agreement(functions, torch.rand(1, 1600))


def cells(lines: list[str], headings: str) -> list[list[str]]:
    """Rows of the table under these headings."""
    after = lines[next(i for i, line in enumerate(lines) if line.startswith(headings)) + 2 :]
    table = after[: next((i for i, line in enumerate(after) if not line), len(after))]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_the_benchmark_of_the_command_prints_a_row_for_each(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[Sequence[str]] = []
    monkeypatch.setattr(command, "run", called.append)
    command.main(["--repeats", "1"])
    rows = cells(capsys.readouterr().out.splitlines(), "| command | median s |")
    assert [row[0] for row in rows] == list(command.COMMANDS)
    assert set(called) == set(command.COMMANDS.values())


def test_the_verification_benchmark_prints_both_tables(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "verifications", lambda: {"one filter": lambda: None})
    verification.main(["--repeats", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == timing.machine()
    assert [row[0] for row in cells(lines, "| verify | median ms |")] == ["one filter"]
    rows = cells(lines, "| inverse of 1 s | median ms |")
    assert len(rows) == 3
    assert all(float(row[1]) > 0 for row in rows)


def test_the_encoder_benchmark_prints_speeds_against_the_faster_peer(capsys: pytest.CaptureFixture[str]) -> None:
    encoder.main(["--seconds", "0.2", "--repeats", "1", "--threads", "1", "--norms", "group", "--dtypes", "float32"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == timing.machine()
    rows = cells(lines, "| group norm, float32, 0.2 s, 1 thread | median ms | times the faster peer's speed |")
    assert [row[0] for row in rows] == ["transformers", "torchaudio", "speechconv"]
    assert max(float(row[2]) for row in rows[:2]) == 1.0
    assert all(float(row[4].rstrip("%")) > 0 for row in rows)


def test_the_encoder_benchmark_counts_every_multiplication() -> None:
    """4.9 GFLOP a second of audio: DESIGN's figure; and one by one for a single frame."""
    assert encoder.flops(16000 * 100) / 100 == pytest.approx(4.9e9, rel=0.01)
    frames = (79, 39, 19, 9, 4, 2, 1)
    taps = (10, 3 * 512, 3 * 512, 3 * 512, 3 * 512, 2 * 512, 2 * 512)
    assert encoder.flops(400) == sum(2 * n * k * 512 for n, k in zip(frames, taps, strict=True))


def test_encoders_that_do_not_agree_are_not_timed() -> None:
    functions = {"transformers": lambda x: x, "quieter": lambda x: 0.5 * x}
    with pytest.raises(SystemExit, match=r"^quieter is 5\.0e-01 of the largest value away from transformers; nothing"):
        encoder.check_agreement(functions, torch.rand(1, 100), "float32")


def test_the_streams_benchmark_prints_percentiles_and_sessions(capsys: pytest.CaptureFixture[str]) -> None:
    streams.main(["--blocks", "5", "--sessions", "1", "3", "--pipelines", "light"])
    lines = capsys.readouterr().out.splitlines()
    rows = cells(lines, "| light: sessions | p50 ms | p99 ms | p50 ms a session | fit into one core |")
    assert [row[0] for row in rows] == ["1", "3"]
    assert all(0 < float(p50) <= float(p99) for _, p50, p99, *_ in rows)


def test_works_take_turns_and_the_median_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that only the works move."""
    clock, calls = [0.0], []

    def work(name: str, *seconds: float) -> timing.Work:
        durations = iter(seconds)

        def run() -> None:
            calls.append(name)
            clock[0] += next(durations)

        return run

    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    works = {
        "a": work("a", 9, 9, 9, 3, 9, 1, 9, 2),
        "b": work("b", *[5] * 8),
    }  # every second run is timed, from the 2nd on
    assert timing.time_in_turn(works, repeats=3, warm_up=1) == {"a": 2, "b": 5}
    assert all(set(calls[i : i + 4]) == {"a", "b"} for i in range(0, 16, 4))


def test_a_percentile_is_a_value_that_so_many_do_not_exceed() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert [timing.percentile(values, share) for share in (0.0, 0.01, 0.5, 0.99, 1.0)] == [1, 1, 50, 99, 100]


def test_the_readme_shows_the_table_that_the_benchmark_prints() -> None:
    readme = (Path(__file__).parent.parent / "benchmarks" / "README.md").read_text("utf-8")
    assert readme.count(HEADINGS) >= 2
    assert "python -m benchmarks.logmel" in readme


def test_the_budgets_benchmark_prints_shares_of_time_and_of_multiply_adds(capsys: pytest.CaptureFixture[str]) -> None:
    budgets.main(["--seconds", "0.1", "--repeats", "1", "--threads", "1", "--forms", "causal"])
    rows = cells(capsys.readouterr().out.splitlines(), "| causal, 0.1 s, float32, 1 thread |")
    assert [row[0] for row in rows] == [budgets.WHOLE, *budgets.PRESETS]
    assert rows[0][2:] == ["100.00", "100.00"]
    for name, milliseconds, share, cost in rows[1:]:
        assert float(cost) <= int(name.rpartition("-")[2])
        low, high = (100 * (float(milliseconds) + e) / (float(rows[0][1]) - e) for e in (-0.05, 0.05))  # as printed
        assert low - 0.005 <= float(share) <= high + 0.005
