"""A disk that fills up, wherever it is met, ends a run with status 4, the truth on disk, and nothing to do twice."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from torch import Tensor

import speechconv as sc
from speechconv.extraction.summary import Summary
from speechconv.stores.feature_file import FeatureFile
from speechconv.stores.manifest import JsonLines, ManifestLine
from speechconv.stores.registry import STORES
from tests.extraction.runs import check_truth, features, manifest, run_json, temporaries
from tests.sounds import noise

PACKED = [name for name, store in STORES.items() if not store.one_each]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for number in range(9):
        soundfile.write(folder / f"{number}.wav", noise(1600, seed=number), 16000)
    return folder


def no_space(*_: object) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def check_stopped(summary: Summary, out: Path) -> None:
    assert (summary.status, summary.exit_status) == ("disk full", 4)
    assert run_json(out)["status"] == "disk full"
    assert re.search(r"; disk full(, \d left undone)?: the same command again goes on from here$", str(summary))
    assert temporaries(out) == []


def check_gone_on(corpus: Path, out: Path, **options: Any) -> Summary:
    """With space again, the same call makes the run whole."""
    summary = sc.extract(corpus, out=out, **options)
    assert (summary.files_ok, summary.exit_status) == (9, 0)
    assert [line["id"] for line in manifest(out)] == list("012345678")
    assert sc.check(out).good
    assert [path for path in out.iterdir() if path.name.startswith(".")] == []
    return summary


def test_a_full_disk_under_the_features_leaves_those_that_are_whole(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    commit = FeatureFile.commit
    with monkeypatch.context() as patch:
        patch.setattr(FeatureFile, "commit", lambda f: no_space() if f.path.name == "5.npy" else commit(f))
        check_stopped(sc.extract(corpus, out=out), out)
    assert "5.npy" not in features(out)
    check_truth(out)
    check_gone_on(corpus, out)


@pytest.mark.parametrize("store", ["npy", "tar"])
def test_a_full_disk_under_the_manifest_leaves_whole_lines(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    out = tmp_path / "out"
    append = JsonLines.append

    def fill_up(report: JsonLines, *lines: Any) -> None:
        if any(isinstance(line, ManifestLine) and line.id == "5" for line in lines):
            no_space()
        append(report, *lines)

    with monkeypatch.context() as patch:
        patch.setattr(JsonLines, "append", fill_up)
        summary = sc.extract(corpus, out=out, store=store)
        check_stopped(summary, out)
    assert summary.files_ok == 5
    check_gone_on(corpus, out, store=store)


@pytest.mark.parametrize("store", PACKED)
def test_a_full_disk_under_a_shard_keeps_the_features_for_the_next_run(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    """The second shard does not fit, and nothing that was computed is computed again."""
    out = tmp_path / "out"
    write = STORES[store].write

    def fill_up(path: Path, items: Any) -> Any:
        if "000001" in path.name:
            path.write_bytes(b"half a shard")
            no_space()
        return write(path, items)

    options: dict[str, Any] = {"store": store, "shard_bytes": 3 * 11 * 80 * 4}
    with monkeypatch.context() as patch:
        patch.setitem(vars(STORES[store]), "write", fill_up)
        summary = sc.extract(corpus, out=out, **options)
        check_stopped(summary, out)
    assert [line["id"] for line in manifest(out)] == list("012")
    again = check_gone_on(corpus, out, **options)
    assert again.files_reused >= summary.files_ok


class Full(sc.Layer):
    """Loud features meet a full disk, as long as a file says so."""

    def __init__(self, sign: Path) -> None:
        super().__init__()
        self._sign = sign

    def valid(self, x: Tensor) -> Tensor:
        if x.numel() and float(x.max()) > 1e4 and self._sign.exists():
            no_space()
        return x


@pytest.mark.usefixtures("forked_workers")
def test_a_worker_that_meets_a_full_disk_ends_the_run(corpus: Path, tmp_path: Path) -> None:
    out, sign = tmp_path / "out", tmp_path / "full"
    soundfile.write(corpus / "5.wav", np.ones(1600), 16000)
    sign.touch()
    pipe = sc.Pipeline([sc.ConvSTFT(400, hop_length=160, output="power"), Full(sign)], sample_rate=16000)
    check_stopped(sc.extract(corpus, pipe, out=out, jobs=2), out)
    check_truth(out)
    sign.unlink()
    check_gone_on(corpus, out, pipeline=pipe)
