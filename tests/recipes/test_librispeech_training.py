"""LibriSpeech's recipe on a generated corpus in the same layout: training, resuming, evaluating, and every command."""

from __future__ import annotations

import json
import os
import re
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import speechconv as sc
from recipes.ctc.processes import Processes
from recipes.ctc.run_folder import RunFolder
from recipes.librispeech_ctc import evaluate as evaluation
from recipes.librispeech_ctc import train as training
from recipes.librispeech_ctc.config import SETTINGS, check_shareable, load_config, open_front
from recipes.librispeech_ctc.corpus import SAMPLE_RATE, find_utterances
from recipes.librispeech_ctc.units import train_pieces
from tests.conftest import ROOT
from tests.recipes.librispeech_recipe import ENCODER, README, TINY
from tests.recipes.librispeech_shares import MOST, gradients

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def _train(corpus: Path, run: Path, *options: str) -> None:
    training.main(["--data", str(corpus / "train"), "--settings", str(TINY), "--output", str(run), *options])


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def _started(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, *arguments], env=_environment(), stdout=subprocess.PIPE)


def _log(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def test_two_processes_give_the_gradients_of_one(corpus: Path, tmp_path: Path) -> None:
    """Relative to the largest; float32. The second process has no utterance of a batch of one."""
    script = str(ROOT / "tests/recipes/librispeech_shares.py")
    with _started(*TORCHRUN, script, str(corpus / "train"), str(tmp_path)) as process:
        expected = {most: gradients(corpus / "train", tmp_path, most, Processes()) for most in MOST}
        assert process.wait() == 0
    for most in MOST:
        found = [torch.load(tmp_path / f"{most}-rank{rank}.pt") for rank in (0, 1)]
        assert all(torch.equal(found[0][name], found[1][name]) for name in expected[most])
        learned = [name for name in expected[most] if name.startswith("gradient")]
        assert 2 * len(learned) == len(expected[most])  # every weight
        largest = max(float(expected[most][name].abs().max()) for name in learned)
        for name in learned:
            assert (found[0][name] - expected[most][name]).abs().max() <= 1e-5 * largest, name


DIES = """
import os, runpy, signal, sys
from recipes.ctc.run_folder import RunFolder

def save_or_die(run, state):
    if state["step"] == 15:
        os.kill(os.getpid(), signal.SIGKILL)
    save(run, state)

save, RunFolder.save_checkpoint = RunFolder.save_checkpoint, save_or_die
runpy.run_path(sys.argv.pop(1), run_name="__main__")
"""
"""Runs a script with its arguments; the process is killed in a training's step 15, before its checkpoint is saved."""


def test_a_killed_run_goes_on_with_the_same_bits(corpus: Path, tmp_path: Path) -> None:
    """In one process; two go on with it as well."""
    settings = tmp_path / "settings.toml"
    text = TINY.read_text().replace("dropout = 0.0", "dropout = 0.1").replace("save_every = 20", "save_every = 5")
    settings.write_text(text)
    options = ["--data", str(corpus / "train"), "--settings", str(settings), "--steps", "40"]
    killed = tmp_path / "killed"
    command = (str(SETTINGS.with_name("train.py")), *options, "--output", str(killed))
    with _started("-c", DIES, *command) as process:
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert RunFolder(killed).checkpoint()["step"] == 10
    shared = shutil.copytree(killed, tmp_path / "shared")
    with _started(*TORCHRUN, command[0], *options, "--output", str(shared)) as process:
        training.main([*options, "--output", str(killed)])
        training.main([*options, "--output", str(tmp_path / "whole")])
        assert process.wait() == 0
    resumed, whole = (RunFolder(run).checkpoint()["model"] for run in (killed, tmp_path / "whole"))
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
    assert [line["step"] for line in _log(tmp_path / "whole")] == [20, 40]
    assert _log(shared)[-1]["step"] == 40
    assert _log(shared)[-1]["loss"] < _log(shared)[0]["loss"] / 2


def _said(command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """What a command prints; Python's run here, for a process of its own takes longer to import torch than to train."""
    program, *arguments = shlex.split(command)
    if program == "torchrun":
        done = subprocess.run(
            [sys.executable, *TORCHRUN[:2], *arguments], env=_environment(), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout
    monkeypatch.setattr(sys, "argv", arguments)
    runpy.run_path(arguments[0], run_name="__main__")
    return capsys.readouterr().out


def test_the_readmes_commands_run_and_the_recogniser_learns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    monkeypatch.chdir(tmp_path)
    commands = re.findall(
        r"^(?:python|torchrun) .*", "".join(re.findall(r"```sh\n(.*?)```", README.read_text(), re.S)), re.M
    )
    assert len(commands) == 5
    said = [_said(command, capsys, monkeypatch) for command in commands]
    losses = [line["loss"] for line in _log(tmp_path / "runs/tones")]
    assert losses[-1] < losses[0] / 20
    metrics = json.loads((tmp_path / "runs/tones/metrics.json").read_text())["test"]
    assert metrics["cer"]["value"] <= metrics["wer"]["value"] <= 0.1  # four seeds gave 0.0
    assert said[2].startswith("test: ")
    losses = [line["loss"] for line in _log(tmp_path / "runs/pieces")]
    assert losses[-1] < losses[0] / 1.5
    assert said[4].count("trained in") == 1  # the second process is silent
    assert sc.Pipeline.load(tmp_path / "runs/tones/pipeline.safetensors").output_dim == 80


def test_error_rates_are_those_of_the_texts(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ACE heard as ACE CAB: one word too many, four characters."""
    _train(corpus, tmp_path / "run", "--steps", "1")
    monkeypatch.setattr(
        evaluation.Trained, "transcribe", lambda _, utterances: [f"{one.text} CAB" for one in utterances]
    )
    utterances = find_utterances(corpus / "test")
    metrics = evaluation.evaluate(RunFolder(tmp_path / "run"), [corpus / "test"], torch.device("cpu"))["test"]
    assert metrics["wer"]["value"] == pytest.approx(8 / sum(len(one.text.split()) for one in utterances))
    assert metrics["cer"]["value"] == pytest.approx(8 * 4 / sum(len(one.text) for one in utterances))


def test_a_run_in_bfloat16_is_near_one_in_float32(corpus: Path, tmp_path: Path) -> None:
    losses = []
    for precision in ("float32", "bfloat16"):
        _train(corpus, tmp_path / precision, "--steps", "3", "--precision", precision)
        losses.append(_log(tmp_path / precision)[-1]["loss"])
    assert 0 < abs(losses[0] - losses[1]) <= 0.02 * losses[0]  # bfloat16 has 8 bits


@pytest.mark.parametrize("kind", ["toml", "saved", "run"])
def test_any_front_end_is_trained_along(corpus: Path, tmp_path: Path, kind: str) -> None:
    source = tmp_path / "front.toml"
    source.write_text(ENCODER)
    if kind != "toml":
        front = sc.Pipeline.from_toml(ENCODER)
        source = tmp_path / "pipeline.safetensors"
        front.save(source)
        source = source.parent if kind == "run" else source
    torch.manual_seed(0)
    before = open_front(str(source)).state_dict()
    _train(corpus, tmp_path / "out", "--steps", "1", "--front", str(source), "--seed", "0")
    after = sc.Pipeline.load(tmp_path / "out/pipeline.safetensors").state_dict()
    moved = [float((after[name] - before[name]).abs().max()) for name in before]
    assert 0 < max(moved) <= 0.0011  # one step of AdamW: 1 / 20 of the learning rate, and weight decay


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--front", "logmell"], "unknown preset 'logmell' in speechconv; did you mean 'logmel'"),
        (
            ["--front", str(ROOT / "recipes/digits_ctc/configs/logmel.toml")],
            "is for 8000 Hz, the recordings have 16000",
        ),
        (["--vocabulary", "none.model"], "no vocabulary none.model; expected characters"),
        (["--device", "cuda:99"], "GPU 99 is wanted"),
        (["--device", "abacus"], r"device \(='abacus'\) must be cpu, cuda"),
        (["--settings", "none.toml"], "no settings none.toml"),
        (["--data", "nowhere"], "no folder nowhere"),
    ],
)
def test_arguments_at_fault_are_told_in_one_line(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], why: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        _train(corpus, tmp_path / "run", *options)
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert re.match(f"error: .*{why}", said)
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_run_that_is_being_trained_is_left_alone(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunFolder(tmp_path / "run")
    with run.alone(), pytest.raises(SystemExit) as caught:
        _train(corpus, run.path, "--steps", "1")
    assert caught.value.code == 2
    assert "another training is at work in" in capsys.readouterr().err
    assert not (run.path / "config.json").exists()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[acoustics]", "unknown table 'acoustics' in .*; did you mean 'acoustic'"),
        ("[acoustic]\nchanels = 3", "unknown key 'chanels' in .*; did you mean 'channels'"),
        ("[spec_augment]\nspeeds = [1.0]", "unknown key 'speeds'"),
        ("[acoustic", "is not valid TOML"),
    ],
)
def test_settings_at_fault_are_told(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "my.toml").write_text(text)
    with pytest.raises(ValueError, match=why):
        load_config(tmp_path / "my.toml")


def test_a_front_end_with_batch_norm_is_refused_in_several_processes() -> None:
    front = sc.Pipeline([sc.ConvSTFT(output="power"), sc.BatchNorm(201)], sample_rate=SAMPLE_RATE)
    with pytest.raises(ValueError, match="the front-end holds BatchNorm"):
        check_shareable(front)
    check_shareable(sc.Pipeline.from_preset("logmel"))


def test_another_vocabulary_another_recipe_and_no_checkpoint_are_told(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, cpu = RunFolder(tmp_path / "run"), torch.device("cpu")
    with pytest.raises(FileNotFoundError, match=r"holds no config.json; expected the folder of a run"):
        evaluation.evaluate(run, [corpus / "test"], cpu)
    _train(corpus, run.path, "--steps", "1")
    pieces = tmp_path / "pieces.model"
    train_pieces([one.text for one in find_utterances(corpus / "train")], 20, pieces)
    with pytest.raises(SystemExit):
        _train(corpus, run.path, "--steps", "1", "--vocabulary", str(pieces))
    assert re.search(r"run was made with 8 tokens \(A B C D E F Y ▁\), this data has 19", capsys.readouterr().err)
    lower = Path(shutil.copytree(corpus / "test", tmp_path / "lower"))
    transcript = lower / "20/200/20-200.trans.txt"
    transcript.write_text(transcript.read_text().lower())
    with pytest.raises(ValueError, match=r"cannot tell 'a', 'b', .* of .*lower; it has A B C D E F Y ▁"):
        evaluation.evaluate(run, [lower], cpu)
    (run.path / "checkpoint.pt").unlink()
    with pytest.raises(FileNotFoundError, match="holds no checkpoint yet"):
        evaluation.evaluate(run, [corpus / "test"], cpu)
    other = RunFolder(tmp_path / "other")
    other.begin({"tokens": ["one"]})
    with pytest.raises(ValueError, match="is a run of another recipe"):
        evaluation.evaluate(other, [corpus / "test"], cpu)
