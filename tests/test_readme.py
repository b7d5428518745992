"""README: every Python block runs, every command it shows runs, and its first lines say what a run gives."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import speechconv as sc
from speechconv.cli import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
SHELL = set("|<>&;*$")
"""What only a shell understands."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[list[str]]:
    """Of each console block, in which one command may need what those before it made."""
    lines = [[line.split("    #")[0].strip() for line in block.splitlines()] for block in blocks("console")]
    found = [[line for line in block if line and not line.startswith("make ")] for block in lines]
    return [block for block in found if block]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model as the hub gives facebook/wav2vec2-base: of its shapes before the Transformer, its weights random."""
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    folder = tmp_path_factory.mktemp("hub")
    Wav2Vec2Model(Wav2Vec2Config(num_hidden_layers=0)).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(tmp_path: Path, checkpoint: Path) -> Path:
    """Sees audio_samples/, recipes/ and, by the name it has on the hub, the checkpoint."""
    for name in ("audio_samples", "recipes"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "facebook").mkdir()
    (tmp_path / "facebook" / "wav2vec2-base").symlink_to(checkpoint)
    return tmp_path


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run in a folder, with this environment's commands first on the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        arguments,
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_every_python_block_runs(
    number: int, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    exec(blocks("python")[number], {})
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("block", commands(), ids=lambda block: block[0])
def test_every_command_runs(
    block: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those that are plain calls of speechconv in this process, for to import torch takes longer than most of them."""
    monkeypatch.chdir(folder)
    for command in block:
        quiet = command.replace("| head -n 2", "| sed -n 1,2p")
        program, *arguments = shlex.split(quiet)
        if program == "speechconv" and not SHELL & set(quiet):
            status, said = main(arguments), capsys.readouterr().err
        else:
            done = run(["bash", "-o", "pipefail", "-c", quiet], folder)
            status, said = done.returncode, done.stderr
        expected = 3 if "/dev/null" in command else 0  # an empty stream is a failed input
        assert status == expected, f"{command}\n{said}"


def test_the_first_block_gives_the_shape_that_its_comment_states(folder: Path) -> None:
    """In a process of its own, as its reader runs it."""
    done = run([sys.executable, "-W", "error", "-c", blocks("python")[0]], folder)
    (stated,) = re.findall(r"-> (\(1, \d+, 80\))", blocks("python")[0])
    assert done.stdout.strip() == f"torch.Size([{stated[1:-1]}]) 160 199"


def test_a_scaled_encoder_costs_what_the_comment_states(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = (block for block in blocks("python") if "scale_width" in block)
    exec(block, {})
    stated, whole = re.findall(r"([\d.]+) M", block)
    assert f"{float(capsys.readouterr().out) / 1e6:.1f}" == stated
    assert re.search(rf"^\| `separable-5` \|[^|]*\| {re.escape(whole)} M \|", README, re.MULTILINE)


def test_the_table_of_parts_tells_what_the_parts_are() -> None:
    rows = re.findall(r"^\| `(\w+\(\d*\))` \|.*?\| (\d+) \w+ \| (\d+) \w+ \| (\d+) \w+ \|$", README, re.MULTILINE)
    assert len(rows) == 6
    for part, *stated in rows:
        layer = eval(f"sc.{part}", {"sc": sc})
        g = layer.geometry
        assert [g.stride, g.receptive_field, g.lookahead] == [int(number) for number in stated]
        (shapes,) = re.findall(
            rf"`{re.escape(part)}` \|[^|]*\| `\(batch, (.*?)\)` -> `\(batch, frames, (\d+)\)`", README
        )
        assert shapes == (f"frames, {layer.in_channels}" if layer.in_channels else "samples", str(layer.out_channels))


def test_every_make_target_that_it_names_exists() -> None:
    named = set(re.findall(r"`?make ([a-z]+(?:-[a-z]+)*)", README))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert {"demo", "test"} <= named <= targets
