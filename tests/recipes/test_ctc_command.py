"""What a recipe's command says at its end, and without the packages of the extra `recipes`."""

from __future__ import annotations

import importlib
import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from recipes.ctc.command import run_command
from recipes.ctc.trainer import Training, tensorboard


def raising(error: BaseException) -> Callable[[], None]:
    def command() -> None:
        raise error

    return command


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no such fold."),
        TypeError("no such layer."),
        FileNotFoundError("no folder nowhere."),
        PermissionError(13, "Permission denied", "run"),
        OSError(28, "No space left on device"),
        ImportError("jiwer does not load."),
    ],
)
def test_what_a_user_can_mend_is_one_line(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run_command(raising(error))
    assert caught.value.code == 2
    assert capsys.readouterr().err == f"error: {error}\n"


def test_a_fault_of_ours_keeps_its_traceback() -> None:
    with pytest.raises(KeyError):
        run_command(raising(KeyError("head")))


@pytest.mark.parametrize(
    ("resumes", "words"),
    [(False, "stopped."), (True, "stopped; the same command goes on from the last checkpoint.")],
)
def test_only_a_training_says_that_it_will_go_on(resumes: bool, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run_command(raising(KeyboardInterrupt()), resumes=resumes)
    assert caught.value.code == 130
    assert capsys.readouterr().err == f"\n{words}\n"


def test_a_terminal_of_another_encoding_stops_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Latin 1 has no ▁, the space of LibriSpeech's vocabulary."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "latin-1", write_through=True))
    run_command(lambda: print("T H E ▁ ä"))  # noqa: T201 - as the commands do
    assert written.getvalue() == "T H E \\u2581 ä\n".encode("latin-1")


# Packages of the extra.


def test_without_jiwer_nothing_is_counted_but_what_was_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jiwer", None)
    monkeypatch.delitem(sys.modules, "recipes.ctc.scoring", raising=False)
    scoring = importlib.import_module("recipes.ctc.scoring")
    assert scoring.word_error_rate([scoring.Scores((1, 1), (4, 4))]).value == 0.25
    with pytest.raises(ImportError, match=r"jiwer, which counts errors, does not load .*; pip install jiwer"):
        scoring.score([["one"]], [["one"]])


def test_without_sentencepiece_characters_are_trained_on_and_every_run_is_tested(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    monkeypatch.delitem(sys.modules, "recipes.librispeech_ctc.units", raising=False)
    units = importlib.import_module("recipes.librispeech_ctc.units")
    assert units.Characters(["A CAB"]).encode("CAB") == [3, 1, 2]
    assert units.text_of(["▁AB", "BEY", "▁A"]) == "ABBEY A"
    (tmp_path / "pieces.model").touch()
    with pytest.raises(ImportError, match="pip install sentencepiece, or take --vocabulary characters"):
        units.Pieces(tmp_path / "pieces.model")
    with pytest.raises(ImportError, match="sentencepiece, which finds pieces of words, does not load"):
        units.train_pieces(["A CAB"], 5, tmp_path / "pieces.model")


def test_tensorboard_reads_what_a_training_writes(tmp_path: Path) -> None:
    with tensorboard(tmp_path) as writers:
        for step in (50, 100):
            for writer in writers:
                writer.add_scalar("loss", 1 / step, step)
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [
        (50, pytest.approx(0.02)),
        (100, pytest.approx(0.01)),
    ]


def test_without_tensorboard_a_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with tensorboard(tmp_path / "run") as writers:
        assert writers == []
    assert not (tmp_path / "run").exists()


# Settings.


@pytest.mark.parametrize("name", ["steps", "batch", "log_every", "save_every"])
def test_a_training_of_no_steps_or_no_utterances_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} \(=0\) must be an integer >= 1"):
        Training(**{name: 0})


@pytest.mark.parametrize(
    ("name", "bound"), [("seed", "an integer >= 0"), ("warmup", "an integer >= 0"), ("clip", "be")]
)
def test_a_training_by_numbers_outside_their_range_is_refused(name: str, bound: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} \(=-1\) must .*{bound}"):
        Training(**{name: -1})
