"""FeatureReader gives back what was stored, from any store, in any process, in little memory."""

from __future__ import annotations

import dataclasses
import multiprocessing
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from speechconv.stores.conversion import convert
from speechconv.stores.feature_reader import FeatureReader
from speechconv.stores.manifest import encode_line
from speechconv.stores.registry import STORES
from tests.stores.corpora import BITING_IDS, generated_ids, lines, make_run, random_rows, spool


@pytest.fixture
def features(tmp_path: Path) -> dict[str, np.ndarray]:
    """Of a run in tmp_path/run."""
    return make_run(tmp_path / "run", [*BITING_IDS, *generated_ids(30)])


def stored(tmp_path: Path, store: str) -> Path:
    convert(tmp_path / "run", tmp_path / "out", store=store, shard_bytes=3000)
    return tmp_path / "out"


@pytest.mark.parametrize("store", STORES)
def test_every_store_gives_back_every_item_by_id_and_by_number(
    tmp_path: Path, features: dict[str, np.ndarray], store: str
) -> None:
    with FeatureReader(stored(tmp_path, store)) as reader:
        assert reader.ids == list(features)
        assert len(reader) == len(features)
        assert reader.lengths.dtype == torch.int64
        assert reader.lengths.tolist() == [len(rows) for rows in features.values()]
        for number in np.random.default_rng(0).permutation(len(features)):
            id = reader.ids[number]
            assert id in reader
            assert torch.equal(reader[id], torch.from_numpy(features[id]))
            assert torch.equal(reader[number], reader[number - len(features)])
            assert torch.equal(reader[number], reader[id])
            assert reader.line(id) == lines(tmp_path / "out")[number]


def test_half_floats_come_as_they_are_to_numpy_and_wide_to_torch(tmp_path: Path) -> None:
    features = make_run(tmp_path / "run", ["a", "b"], "float16")
    with FeatureReader(tmp_path / "run") as reader:
        assert reader.numpy("b").dtype == np.float16
        assert reader["b"].dtype == torch.float32
        assert np.array_equal(reader["b"].numpy(), features["b"])


@pytest.mark.parametrize("store", STORES)
def test_what_comes_back_is_the_callers_to_change(tmp_path: Path, features: dict[str, np.ndarray], store: str) -> None:
    with FeatureReader(stored(tmp_path, store)) as reader:
        reader["a/b"].zero_()
        reader.numpy("a/b")[:] = 0
        assert np.array_equal(reader["a/b"].numpy(), features["a/b"])


def test_what_is_not_there_is_told_with_what_to_do(tmp_path: Path, features: dict[str, np.ndarray]) -> None:
    with FeatureReader(tmp_path / "run") as reader:
        with pytest.raises(KeyError, match=r"holds no id 'bad'; it has .* errors.jsonl and skipped.jsonl tell"):
            reader["bad"]
        with pytest.raises(IndexError, match=rf"holds {len(features)} items; .* got {len(features)}"):
            reader[len(features)]
        assert "bad" not in reader
        (tmp_path / "run" / reader.line("a").path).unlink()
        with pytest.raises(ValueError, match=r"no features of 'a': in .* is missing; `speechconv check .*`extract`"):
            reader["a"]
    with pytest.raises(FileNotFoundError, match=r"holds no manifest.jsonl; expected a folder that speechconv extract"):
        FeatureReader(tmp_path)


def test_an_id_twice_is_refused(tmp_path: Path) -> None:
    make_run(tmp_path / "run", ["a"])
    with open(tmp_path / "run" / "manifest.jsonl", "ab") as manifest:
        manifest.write(encode_line(lines(tmp_path / "run")[0]))
    with pytest.raises(ValueError, match=r"names an id twice; `speechconv check"):
        FeatureReader(tmp_path / "run")


def test_merged_shards_in_subfolders_are_read(tmp_path: Path) -> None:
    merged = tmp_path / "merged"
    merged.mkdir()
    expected = {}
    for number, store in enumerate(["kaldi", "tar", "npy"]):
        expected |= make_run(tmp_path / f"run{number}", [f"{number}/{name}" for name in "abcde"])
        folder = merged / f"shard-{number:04d}-of-0003"
        convert(tmp_path / f"run{number}", folder, store=store)
        with open(merged / "manifest.jsonl", "ab") as manifest:
            for line in lines(folder):
                manifest.write(encode_line(dataclasses.replace(line, path=f"{folder.name}/{line.path}")))
    with FeatureReader(merged) as reader:
        assert {id: reader.numpy(id).tobytes() for id in reader.ids} == {k: v.tobytes() for k, v in expected.items()}


@pytest.mark.parametrize(("store", "method"), [("kaldi", "fork"), ("hdf5", "fork"), ("hdf5", "spawn")])
def test_a_dataloader_reads_the_same_in_its_workers(
    tmp_path: Path, features: dict[str, np.ndarray], store: str, method: str
) -> None:
    with FeatureReader(stored(tmp_path, store)) as reader:
        assert len(reader["a/b"]) > 0  # files are open before the workers start
        loader = DataLoader(reader.dataset(), batch_size=None, num_workers=2, multiprocessing_context=method)
        found = {id: rows.numpy().tobytes() for id, rows in loader}
        assert found == {id: rows.tobytes() for id, rows in features.items()}
        assert torch.equal(reader["a/b"], torch.from_numpy(features["a/b"]))


def test_forked_readers_do_not_move_each_others_files(tmp_path: Path, features: dict[str, np.ndarray]) -> None:
    with FeatureReader(stored(tmp_path, "kaldi")) as reader:
        for id in reader.ids:
            reader.numpy(id)
        with multiprocessing.get_context("fork").Pool(3, _keep, (reader,)) as pool:
            found = pool.map(_read, [*reader.ids] * 20, chunksize=1)
    assert found == [rows.tobytes() for rows in features.values()] * 20


_KEPT: list[FeatureReader] = []


def _keep(reader: FeatureReader) -> None:
    _KEPT.append(reader)


def _read(id: str) -> bytes:
    return _KEPT[0].numpy(id).tobytes()


def test_a_pickled_reader_opens_its_files_anew(tmp_path: Path, features: dict[str, np.ndarray]) -> None:
    with FeatureReader(stored(tmp_path, "hdf5")) as reader:
        reader["a/b"]
        with pickle.loads(pickle.dumps(reader)) as again:
            assert torch.equal(again["a/b"], reader["a/b"])


@pytest.mark.parametrize("seed", [None, 3])
def test_batches_hold_every_item_once_padded_with_zeros(
    tmp_path: Path, features: dict[str, np.ndarray], seed: int | None
) -> None:
    with FeatureReader(tmp_path / "run") as reader:
        batches = reader.batches(40, seed=seed)
        seen = []
        for ids, padded, lengths in batches:
            assert padded.shape[:2] == (len(ids), lengths.max())
            assert padded.shape[0] * padded.shape[1] <= 40
            for id, rows, length in zip(ids, padded, lengths.tolist(), strict=True):
                assert np.array_equal(rows[:length].numpy(), features[id])
                assert not rows[length:].any()
            seen += ids
        assert sorted(seen) == sorted(features)
        assert len(batches) < len(features) / 2


def test_batches_of_one_seed_are_the_same_and_of_another_are_not(tmp_path: Path) -> None:
    make_run(tmp_path / "run", generated_ids(50))
    with FeatureReader(tmp_path / "run") as reader:
        first, again, other = ([batch.ids for batch in reader.batches(60, seed=seed)] for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_batches_pad_little_even_when_shuffled(tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    lengths = np.random.default_rng(0).integers(1, 200, 300)
    with open(out / "manifest.jsonl", "wb") as manifest:
        for number, length in enumerate(lengths):
            manifest.write(encode_line(spool(out, f"{number}", random_rows(number, int(length)))))
    with FeatureReader(out) as reader:
        for seed, most in ((None, 1.1), (0, 1.3)):
            rows = sum(batch.features.shape[0] * batch.features.shape[1] for batch in reader.batches(2000, seed=seed))
            assert rows / lengths.sum() < most


def test_an_item_longer_than_a_batch_has_one_of_its_own(tmp_path: Path) -> None:
    make_run(tmp_path / "run", generated_ids(10))
    with FeatureReader(tmp_path / "run") as reader:
        assert max(len(batch.ids) for batch in reader.batches(1) if batch.lengths.max() > 0) == 1
        assert sum(len(batch.ids) for batch in reader.batches(1)) == 10
        with pytest.raises(ValueError, match=re.escape("max_frames (=0) must be an integer >= 1")):
            reader.batches(0)


def test_twenty_thousand_items_need_less_than_20_mb(tmp_path: Path) -> None:
    make_run(tmp_path / "run", ["a"])
    line = dataclasses.replace(lines(tmp_path / "run")[0], id="ID")
    data = encode_line(line)
    (tmp_path / "run" / "manifest.jsonl").write_bytes(
        b"".join(data.replace(b'"ID"', b'"speaker-%06d/utterance-%06d"' % (n % 999, n)) for n in range(20_000))
    )
    program = """
import sys
from speechconv.stores.feature_reader import FeatureReader
def resident():
    return int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmRSS")))
before = resident()
reader = FeatureReader(sys.argv[1])
assert len(reader) == 20_000
print((resident() - before) // 1024)
"""
    done = subprocess.run([sys.executable, "-c", program, tmp_path / "run"], capture_output=True, check=True)
    assert int(done.stdout) < 20
