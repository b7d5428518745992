"""The sounds, the folder, and a run that packed them."""

from __future__ import annotations

from pathlib import Path

import pytest

import speechconv as sc
from tests.extraction.resume.corpus import NAMES, write
from tests.extraction.runs import manifest
from tests.sounds import noise


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """a.wav ... d.wav, 0.4 to 0.1 s."""
    for number, name in enumerate(NAMES):
        write(tmp_path / "corpus" / f"{name}.wav", noise(1600 * (4 - number), seed=number))
    return tmp_path / "corpus"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def packed(corpus: Path, out: Path) -> Path:
    """A tar store of two shards: a and b, c and d."""
    sc.extract(corpus, out=out, store="tar", shard_bytes=24_000)
    assert [line["path"][-5] for line in manifest(out)] == list("0011")
    return out
