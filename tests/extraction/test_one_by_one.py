"""extract without `out`: features one after the other, errors among them, and nothing stays on disk."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import speechconv as sc
from speechconv.stores.manifest import ErrorLine, ManifestLine, SkippedLine
from tests.sounds import noise


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Seven good sounds and two bad ones."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for number in range(7):
        soundfile.write(folder / f"{number}.wav", noise(1600 + 160 * number, seed=number), 16000)
    (folder / "3a.wav").write_bytes(b"")
    (folder / "5a.wav").write_bytes(b"no sound")
    return folder


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where features lie while they are on their way."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@pytest.mark.parametrize("jobs", [1, 2])
def test_each_input_is_an_item_with_the_features_that_a_folder_would_hold(
    corpus: Path, tmp_path: Path, temporary: Path, jobs: int
) -> None:
    items = []
    for item in sc.extract([corpus, "gone.wav"], jobs=jobs):
        items.append(item)
        assert not list(temporary.rglob(f"{item.id}.npy"))
    sc.extract([corpus, "gone.wav"], out=tmp_path / "out")
    expected = {path.stem: np.load(path).tobytes() for path in (tmp_path / "out").glob("*.npy")}
    good = {item.id: item.features for item in items if item.features is not None}
    assert {id: features.numpy().tobytes() for id, features in good.items()} == expected
    assert sorted(item.id for item in items if isinstance(item.line, ErrorLine)) == ["3a", "5a", "gone"]
    frames = {item.id: item.line.frames for item in items if isinstance(item.line, ManifestLine)}
    assert frames == {id: len(features) for id, features in good.items()}
    assert len(items) == 10
    if jobs == 1:
        assert list(good) == list("0123456")
    assert list(temporary.iterdir()) == []


def test_features_are_of_the_type_that_was_asked_for_and_what_is_short_is_an_item_too(corpus: Path) -> None:
    items = {item.id: item for item in sc.extract(corpus, dtype="float16", min_duration=0.105)}
    assert isinstance(items["0"].line, SkippedLine)
    assert items["0"].features is None
    features = items["6"].features
    assert features is not None
    assert features.dtype == torch.float16


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_loop_that_is_left_early_leaves_nothing_behind(corpus: Path, temporary: Path, jobs: int) -> None:
    items: Any = sc.extract(corpus, jobs=jobs)
    assert next(item for item in items if item.features is not None)
    assert len(list(temporary.iterdir())) == 1
    items.close()
    assert list(temporary.iterdir()) == []


def test_a_recipe_that_cannot_be_made_is_said_by_the_first_item(corpus: Path, temporary: Path) -> None:
    with pytest.raises(ValueError, match="unknown preset 'logmell'"):
        sc.extract(corpus, "logmell")
    items: Iterator[Any] = iter(sc.extract(corpus, overrides={"mel.mels": 3}, jobs=2))
    with pytest.raises(ValueError, match="unknown key 'mels'"):
        next(items)
    assert list(temporary.iterdir()) == []


def test_a_script_that_ends_in_the_middle_ends(corpus: Path, temporary: Path) -> None:
    """multiprocessing asks workers to end by a signal that ours do not hear, and waits for them."""
    script = f"import speechconv as sc; items = sc.extract({str(corpus)!r}, jobs=2); print(next(items).id)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip()
    assert done.stderr == ""
    assert list(temporary.iterdir()) == []
