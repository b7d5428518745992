"""Parts of a corpus that a run is tested on are told apart by their names."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from recipes.ctc.run_folder import RunFolder
from recipes.librispeech_ctc import evaluate
from recipes.librispeech_ctc.recognise import Trained


def test_parts_are_named_as_their_folders_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However they are given: a trailing slash, or as the folder that one is in."""
    monkeypatch.setattr(evaluate, "load_trained", lambda *_: Trained)
    monkeypatch.setattr(evaluate, "measured", lambda _, part: {"at": str(part.resolve())})
    here, there = tmp_path / "clean", tmp_path / "other"
    here.mkdir()
    there.mkdir()
    monkeypatch.chdir(here)
    run = RunFolder(tmp_path / "run")
    metrics = evaluate.evaluate(run, [Path("."), Path("../other/")], torch.device("cpu"))
    assert metrics == run.read("metrics.json") == {"clean": {"at": str(here)}, "other": {"at": str(there)}}
    with pytest.raises(ValueError, match=r"a/test b/test: metrics are kept by a folder's name; test them one by one"):
        evaluate.evaluate(run, [Path("a/test"), Path("b/test")], torch.device("cpu"))
