"""Torn lines, features that are gone or cut, and what a killed run left: made good, and no more than that."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from numpy.typing import NDArray

import speechconv as sc
from speechconv.extraction.resume import SPOOL
from tests.extraction.resume.corpus import NAMES, fresh, ids, sums
from tests.extraction.runs import errors, features, manifest, temporaries


def test_a_torn_last_line_is_cut_off_and_its_input_done_again(corpus: Path, out: Path, tmp_path: Path) -> None:
    (corpus / "bad.wav").write_bytes(b"")
    sc.extract(corpus, out=out)
    for name in ("manifest.jsonl", "errors.jsonl"):
        data = (out / name).read_bytes()
        (out / name).write_bytes(data[:-20])
    assert sc.extract(corpus, out=out).files_reused == 3
    assert ids(out) == ["a", "b", "c", "d"]
    assert [line["id"] for line in errors(out)] == ["bad"]
    assert sums(out) == fresh(corpus, tmp_path / "fresh")


def test_an_id_has_one_line_even_where_a_run_left_two(corpus: Path, out: Path) -> None:
    sc.extract(corpus, out=out)
    data = (out / "manifest.jsonl").read_bytes()
    (out / "manifest.jsonl").write_bytes(data + data.splitlines(keepends=True)[1])
    assert sc.extract(corpus, out=out).files_reused == 4
    assert (out / "manifest.jsonl").read_bytes() == data


@pytest.mark.parametrize("damage", ["removed", "cut", "emptied"])
def test_features_that_are_gone_or_cut_are_made_again(corpus: Path, out: Path, damage: str) -> None:
    sc.extract(corpus, out=out)
    before = features(out)
    if damage == "removed":
        (out / "c.npy").unlink()
    else:
        (out / "c.npy").write_bytes(before["c.npy"][:-1] if damage == "cut" else b"")
    (out / ".speechconv-1234.tmp").write_bytes(b"half a file of a run that was killed")
    assert sc.extract(corpus, out=out).files_reused == 3
    assert features(out) == before
    assert ids(out) == list(NAMES)
    assert temporaries(out) == []


@pytest.mark.parametrize(("store", "path"), [("tar", "features-000000.tar"), ("npy", "b.npy")])
def test_what_a_reader_says_of_damage_mends_it(corpus: Path, out: Path, store: str, path: str) -> None:
    sc.extract(corpus, out=out, store=store)
    os.truncate(out / path, 15_000 if store == "tar" else 9)
    with sc.FeatureReader(out) as reader, pytest.raises(ValueError, match=f"; delete {path}, and the same `extract`"):
        reader["b"]
    (out / path).unlink()
    with sc.FeatureReader(out) as reader, pytest.raises(FileNotFoundError, match=r"is wrong; the same `extract`"):
        reader["b"]
    sc.extract(corpus, out=out, store=store)
    assert sc.check(out).good


def read_back(out: Path) -> dict[str, NDArray]:
    with sc.FeatureReader(out) as reader:
        return {id: reader.numpy(id) for id in reader.ids}


def assert_good_as_new(corpus: Path, out: Path, tmp_path: Path) -> None:
    """The ids, the bytes, and only the shards that the manifest names."""
    assert sums(out) == fresh(corpus, tmp_path / "judge")
    assert ids(out) == ids(tmp_path / "judge")
    assert {path.name for path in out.glob("features-*")} == {line["path"] for line in manifest(out)}
    assert not (out / SPOOL).exists()
    judge = features(tmp_path / "judge")
    for line in manifest(out):
        assert read_back(out)[line["id"]].tobytes() == judge[f"{line['id']}.npy"][128:]


def test_a_torn_line_of_a_packed_store_is_done_again(corpus: Path, packed: Path, tmp_path: Path) -> None:
    data = (packed / "manifest.jsonl").read_bytes()
    (packed / "manifest.jsonl").write_bytes(data[:-30])
    assert sc.extract(corpus, out=packed, store="tar").files_reused == 3
    assert_good_as_new(corpus, packed, tmp_path)


def test_a_shard_that_is_gone_is_made_again(corpus: Path, packed: Path, tmp_path: Path) -> None:
    (packed / "features-000000.tar").unlink()
    assert sc.extract(corpus, out=packed, store="tar").files_reused == 2
    assert_good_as_new(corpus, packed, tmp_path)


def test_what_waits_in_the_spool_is_packed_and_not_computed(corpus: Path, packed: Path, tmp_path: Path) -> None:
    """As after a kill before the second shard: its lines are in the spool's journal, the last one torn."""
    sc.extract(corpus, out=tmp_path / "npy")
    lines = (packed / "manifest.jsonl").read_bytes().splitlines(keepends=True)
    (packed / "manifest.jsonl").write_bytes(b"".join(lines[:2]))
    (packed / "features-000001.tar").unlink()
    (packed / SPOOL).mkdir()
    journal = (tmp_path / "npy" / "manifest.jsonl").read_bytes().splitlines(keepends=True)
    (packed / SPOOL / "manifest.jsonl").write_bytes(journal[2] + journal[3][:50])
    for name in ("c", "d"):
        shutil.copy(tmp_path / "npy" / f"{name}.npy", packed / SPOOL)
    summary = sc.extract(corpus, out=packed, store="tar")
    assert (summary.files_ok, summary.files_reused) == (4, 3)
    assert_good_as_new(corpus, packed, tmp_path)


def test_an_orphan_shard_and_half_a_shard_are_removed(corpus: Path, packed: Path, tmp_path: Path) -> None:
    """As after a kill between a shard's name and its lines."""
    lines = (packed / "manifest.jsonl").read_bytes().splitlines(keepends=True)
    (packed / "manifest.jsonl").write_bytes(b"".join(lines[:2]))
    shutil.copy(packed / "features-000001.tar", packed / "features-000007.tar")
    (packed / ".speechconv-77.tmp").write_bytes(b"half a shard")
    assert sc.extract(corpus, out=packed, store="tar").files_reused == 2
    assert_good_as_new(corpus, packed, tmp_path)
    assert temporaries(packed) == []
