"""`speechconv verify`: verdict on stdout, report and JSON in files, and an exit status for scripts."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import speechconv as sc
from speechconv.cli import main
from speechconv.verification.verifier import CHECKABLE
from tests.adapters.models import transformers_model
from tests.verification.weight_files import Payload, stacked, write_onnx, write_torchscript

COMMAND = [sys.executable, "-m", "speechconv", "verify"]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A bank of 64 taps that is an STFT."""
    save_file({"front.weight": stacked()}, tmp_path / "bank.safetensors")
    return tmp_path / "bank.safetensors"


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, env=environment)


def test_the_verdict_comes_first_and_the_exit_status_is_0_without_thresholds(weights: Path) -> None:
    run = command(weights, "--hop", "16")
    assert (run.returncode, run.stderr) == (0, "")
    first, *rest = run.stdout.splitlines()
    assert "64" in first
    assert "hann" in first.lower()
    assert {"stft.rho", "bank.kappa", "bank.coherence", "sample rate"} <= {line[:26].strip() for line in rest}


def test_beyond_a_threshold_the_exit_status_is_1_and_stderr_says_which(
    weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--hop", "16", "--max", "bank.kappa=1.0001", "--max", "stft.rho=1e-6"]
    assert main(["verify", str(weights), *options]) == 1
    said = capsys.readouterr().err
    assert said.startswith("speechconv verify: bank.kappa is ")
    assert len(said.splitlines()) == 1


def test_below_a_minimum_the_exit_status_is_1_and_stderr_says_which(
    weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["verify", str(weights), "--hop", "16"]
    assert main([*options, "--min", "bank.A=0.01", "--max", "scales.residual.linear=1e-3"]) == 0
    assert capsys.readouterr().err == ""
    assert main([*options, "--min", "bank.A=1e6", "--min", "bank.effective_rank=10"]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("speechconv verify: bank.A is ")
    assert said.err.endswith("below 1e+06.\n")
    *_, bound, rank = said.out.splitlines()
    assert bound.endswith("at least 1e+06  FAIL")
    assert rank.endswith("at least 10")


def test_every_headline_may_be_bounded_under_its_name(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(weights), "--hop", "16"]) == 0
    lines = capsys.readouterr().out.splitlines()[2:]
    names = [name for name in (line.split()[0] for line in lines) if "." in name]
    assert "scales.residual.linear" in names
    assert set(names) <= set(CHECKABLE)


def test_an_unreadable_file_gives_one_line_and_exit_status_2(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights.write_bytes(weights.read_bytes()[:-100])
    assert main(["verify", str(weights)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"speechconv verify: {weights} is not a whole safetensors file")
    assert len(said.err.splitlines()) == 1


def test_code_in_a_pickle_gives_one_line_and_exit_status_2_and_is_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "evil.pt").write_bytes(pickle.dumps(Payload(tmp_path / "ran")))
    assert main(["verify", str(tmp_path / "evil.pt")]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "without running code" in said.err
    assert len(said.err.splitlines()) == 1
    assert not (tmp_path / "ran").exists()


def test_within_thresholds_the_exit_status_is_0(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(weights), "--hop", "16", "--max", "bank.kappa=3", "--max", "stft.rho=1e-6"]) == 0
    assert capsys.readouterr().err == ""


def test_json_on_stdout_or_in_a_file_is_the_same_object(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(weights), "--hop", "16", "--json", "-"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert main(["verify", str(weights), "--hop", "16", "--json", str(weights.with_suffix(".json"))]) == 0
    assert json.loads(weights.with_suffix(".json").read_text()) == printed
    assert (printed["passed"], printed["source"], printed["tensor"]) == (True, str(weights), "front.weight")
    assert (printed["layout"], printed["sample_rate"], printed["sample_rate_assumed"]) == ("stacked", 16000, True)
    assert printed["stft"]["n_fft"] == 64
    assert printed["bank"]["hop_length"] == 16
    assert capsys.readouterr().out.splitlines()[0] == printed["verdict"]


def test_report_writes_one_page(weights: Path) -> None:
    page = weights.with_suffix(".html")
    assert (
        main(["verify", str(weights), "--hop", "16", "--reference", "stft:window=hamming", "--report", str(page)]) == 0
    )
    assert page.read_text().lstrip().lower().startswith("<!doctype html>")


def test_a_sample_rate_that_is_given_or_the_pipeline_s_is_not_assumed(
    weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(weights), "--sample-rate", "8000", "--json", "-"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["sample_rate"], answer["sample_rate_assumed"]) == (8000, False)
    sc.Pipeline([sc.ConvSTFT(64, hop_length=20, output="power")], sample_rate=8000).save(weights)
    assert main(["verify", str(weights), "--json", "-"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["sample_rate"], answer["sample_rate_assumed"]) == (8000, False)
    assert answer["bank"]["hop_length"] == 20


def test_drift_from_a_reference_is_measured(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noise = torch.randn(stacked().shape)
    save_file({"w": stacked() + 0.1 * stacked().norm() * noise / noise.norm()}, weights)
    assert main(["verify", str(weights), "--reference", "stft:n_fft=64", "--json", "-"]) == 0
    total = json.loads(capsys.readouterr().out)["drift"]["total"]
    assert total == pytest.approx(0.1, rel=0.05)  # by construction; a gain that is fitted first takes a little of it


def test_sound_is_compared_with_the_reference(
    weights: Path, audio_samples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_file({"w": 10 * stacked()}, weights)
    wav = next(path for path in sorted(audio_samples.rglob("*")) if path.suffix in (".wav", ".flac"))
    options = ["--hop", "16", "--reference", "stft:n_fft=64", "--audio", str(wav), "--json", "-"]
    assert main(["verify", str(weights), *options]) == 0
    answer = json.loads(capsys.readouterr().out)["sound"]
    assert answer["mean_db"] == pytest.approx(20, abs=1e-3)  # ten times the magnitude, float32 weights


@pytest.mark.parametrize("name", ["bank.onnx", "script.pt"])
def test_other_kinds_of_file_are_verified_alike(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (write_onnx if name.endswith("onnx") else write_torchscript)(tmp_path / name, stacked())
    assert main(["verify", str(tmp_path / name), "--max", "stft.rho=1e-6"]) == 0
    assert "front.weight (stacked)" in capsys.readouterr().out


def test_a_wav2vec2_checkpoint_is_probed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    transformers_model().save_pretrained(tmp_path / "folder")
    capsys.readouterr()
    assert main(["verify", str(tmp_path / "folder"), "--json", "-"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["probe"] is not None
    assert answer["bank"] is None
    assert answer["source"] == str(tmp_path / "folder")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--tensor", "front.wieght"], "did you mean 'front.weight'"),
        (["--layout", "separate"], "separate takes two"),
        (["--reference", "stft:hop=3"], "unknown key 'hop'"),
        (["--max", "bank.kapa=3"], "bank.kapa"),
        (["--hop", "0"], "hop"),
        (["--sample-rate", "-1"], "sample"),
        (["--audio", "absent.wav"], "absent.wav"),
        (["--report", "nowhere/report.html"], "nowhere"),
        (["--json", "nowhere/out.json"], "nowhere"),
        (["--report", "."], ". is a folder; name the file to write in it"),
        (["--json", "."], ". is a folder"),
    ],
)
def test_options_that_do_not_fit_are_told_in_one_line(
    weights: Path, options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(weights), *options]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert words in said.err
    assert len(said.err.splitlines()) == 1


def test_outputs_are_checked_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delattr("speechconv.verification.verifier.examine_bank")
    for options in (["--report", str(tmp_path)], ["--json", str(tmp_path)], ["--report", str(tmp_path / "no" / "r")]):
        assert main(["verify", "logmel", *options]) == 2
        assert str(tmp_path) in capsys.readouterr().err
    with pytest.raises(ValueError, match="is a folder"):
        sc.verify("logmel", report=tmp_path)


def test_a_pipeline_without_tensors_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "kaldi-fbank", "--tensor", "nope"]) == 2
    assert "no tensor 'nope' in kaldi-fbank. It holds no tensors." in capsys.readouterr().err


def test_a_mistyped_preset_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "logmle"]) == 2
    assert "unknown preset 'logmle' in speechconv; did you mean 'logmel'?" in capsys.readouterr().err


def test_a_learned_stft_drifts_from_what_it_started_from(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stft = sc.ConvSTFT(64, hop_length=20, learn="free", output="power")
    start = stft.weight.detach().clone()
    stft.weight.data += 0.1 * torch.randn(start.shape)
    sc.Pipeline([stft], sample_rate=8000).save(weights)
    assert main(["verify", str(weights), "--json", "-"]) == 0
    answer = json.loads(capsys.readouterr().out)["drift"]
    expected = float((stft.weight.detach() - start).norm() / start.norm())
    assert answer["total"] == pytest.approx(expected, rel=1e-5)  # float32 weights
    assert "started from" in answer["reference"]


@pytest.mark.parametrize("limit", ["bank.kappa", "bank.kappa=low"])
def test_a_threshold_that_is_no_number_is_a_usage_error(
    weights: Path, limit: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["verify", str(weights), "--max", limit])
    assert stop.value.code == 2
    assert "expected NAME=VALUE such as bank.kappa=3" in capsys.readouterr().err


def test_a_kernel_trained_into_noise_is_beyond_its_threshold(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stft = sc.ConvSTFT(64, hop_length=16, learn="delta")
    next(stft.parameters()).data.normal_().mul_(3)
    sc.Pipeline([stft], sample_rate=16000).save(weights)
    assert main(["verify", str(weights), "--max", "drift.total=0.1"]) == 1
    assert "drift.total is " in capsys.readouterr().err


def test_a_threshold_on_what_was_not_measured_says_so(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(weights), "--max", "bank.kappa=3"]) == 1
    assert "speechconv verify: bank.kappa was not measured, which counts as beyond 3." in capsys.readouterr().err


@pytest.mark.parametrize("limit", ["bank.kappa=nan", "bank.kappa=inf", "bank.kappa", "bank.kappa=three"])
def test_a_limit_that_is_no_number_is_refused(limit: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["verify", "logmel", "--max", limit])
    assert caught.value.code == 2
    assert f"expected NAME=VALUE such as bank.kappa=3, got {limit!r}" in capsys.readouterr().err
