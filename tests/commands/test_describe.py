"""`speechconv describe`: a cost sheet as a table, JSON or Markdown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import speechconv as sc
from speechconv.cli import main


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    """stdout of `speechconv describe ARGUMENTS`, which must succeed in silence."""
    assert main(["describe", *arguments]) == 0
    said = capfd.readouterr()
    assert said.err == ""
    return said.out


def test_it_prints_what_describe_says(capfd: pytest.CaptureFixture[str]) -> None:
    pipe = sc.Pipeline.from_preset("logmel", sample_rate=8000, mel={"n_mels": 40})
    arguments = ("logmel", "--set", "mel.n_mels=40", "--set", "sample_rate=8000")
    assert run(capfd, *arguments) == f"{sc.describe(pipe)}\n"
    sheet = sc.describe(pipe, 20000, gflops=25)
    rest = ("--seconds", "2.5", "--gflops", "25")
    assert run(capfd, *arguments, *rest) == f"{sheet}\n"
    assert run(capfd, *arguments, *rest, "--format", "markdown") == f"{sheet.to_markdown()}\n"
    assert json.loads(run(capfd, *arguments, *rest, "--format", "json")) == json.loads(sheet.to_json())


def test_a_saved_pipeline_is_described_in_its_own_type(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    sc.Pipeline.from_preset("full-causal").bfloat16().save(tmp_path / "small.safetensors")
    told = json.loads(run(capfd, str(tmp_path / "small.safetensors"), "--format", "json"))
    assert told["input"]["dtype"] == "bfloat16"
    assert told["total"]["state_bytes"] == sc.describe(sc.Pipeline.load(tmp_path / "small.safetensors")).state_bytes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gflops", "0"], "argument --gflops: expected a number above 0, got '0'"),
        (["--gflops", "fast"], "argument --gflops: expected a number above 0, got 'fast'"),
        (["--seconds", "-1"], "argument --seconds: expected a number above 0, got '-1'"),
        (["--format", "csv"], "argument --format: invalid choice: 'csv'"),
    ],
)
def test_wrong_usage_is_told(arguments: list[str], message: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["describe", "logmel", *arguments])
    assert stop.value.code == 2
    assert capfd.readouterr().err.startswith(f"speechconv describe: {message}")


def test_help_says_what_counts(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["describe", "--help"])
    told = " ".join(capfd.readouterr().out.split())
    for words in ("1.25 n log2 n for an FFT", "norms, activations and biases do not count", "a multiply-add is two"):
        assert words in told
