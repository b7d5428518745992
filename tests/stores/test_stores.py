"""Every store against its own ecosystem's reader: ids that bite, no frames, float16, rolling shards, long items."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import gc
import io
import json
import os
import subprocess
import sys
import tarfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from speechconv.stores import item as items_module
from speechconv.stores import open_shards
from speechconv.stores.feature_file import Dtype
from speechconv.stores.ids import decode, file_name
from speechconv.stores.item import array_item
from speechconv.stores.kaldi_ark import ArkStream, kaldi_key
from speechconv.stores.manifest import ManifestLine
from speechconv.stores.open_shards import DamagedFeatures, OpenShards
from speechconv.stores.packer import Packer
from speechconv.stores.registry import STORES, store_named, store_of
from tests.stores.corpora import BITING_IDS, CHANNELS, manifest_line, random_rows

Features = dict[str, np.ndarray]
SHARD_BYTES = 1200
FEATURES = {id: random_rows(number, number % 5 * 3) for number, id in enumerate(BITING_IDS)}


def stored(out: Path, name: str, features: Features) -> list[ManifestLine]:
    """Features in a store, as `extract` packs them."""
    store = STORES[name]
    packer = Packer(out, store, shard_bytes=SHARD_BYTES, item=lambda line: array_item(line.id, features[line.id]))
    placed = [line for id, rows in features.items() for line in packer.take(manifest_line(id, rows, ""))]
    placed += packer.close()
    store.index(out, placed)
    return placed


def shards(out: Path, suffix: str) -> list[str]:
    paths = sorted(map(str, out.glob(f"features-*{suffix}")))
    assert len(paths) > 1
    return paths


def kaldi_native_random(out: Path) -> Iterator[tuple[str, np.ndarray]]:
    import kaldi_native_io

    keys = [line.split()[0] for line in (out / "feats.scp").read_text("utf-8").splitlines()]
    assert keys == sorted(keys, key=str.encode)
    with kaldi_native_io.RandomAccessFloatMatrixReader(f"scp:{out}/feats.scp") as reader:
        yield from ((key, np.array(reader[key])) for key in keys)


def kaldi_native_sequential(out: Path) -> Iterator[tuple[str, np.ndarray]]:
    import kaldi_native_io

    for path in shards(out, ".ark"):
        with kaldi_native_io.SequentialFloatMatrixReader(f"ark:{path}") as reader:
            yield from ((key, np.array(value)) for key, value in cast(Any, reader))


def kaldiio_scp(out: Path) -> Iterator[tuple[str, np.ndarray]]:
    import kaldiio

    yield from kaldiio.load_scp(str(out / "feats.scp")).items()


def h5py_files(out: Path) -> Iterator[tuple[str, np.ndarray]]:
    import h5py

    for path in shards(out, ".h5"):
        with h5py.File(path) as file:
            yield from ((key, dataset[()]) for key, dataset in file.items())


def webdataset_tars(out: Path) -> Iterator[tuple[str, np.ndarray]]:
    import webdataset.compat

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # webdataset leaves its files to the garbage collector
        samples: Any = webdataset.compat.WebDataset(shards(out, ".tar"), shardshuffle=False).decode()
        for sample in samples:
            assert {key for key in sample if not key.startswith("__")} == {"npy"}
            yield sample["__key__"], sample["npy"]
        samples = sample = None
        gc.collect()


def safe_open_shards(out: Path) -> Iterator[tuple[str, np.ndarray]]:
    from safetensors import safe_open

    places = json.loads((out / "features.safetensors.index.json").read_text("utf-8"))["weight_map"]
    for path in shards(out, ".safetensors"):
        with safe_open(path, framework="np") as file:
            assert set(file.keys()) == {key for key, name in places.items() if name == Path(path).name}
            yield from ((key, file.get_tensor(key)) for key in file.keys())  # noqa: SIM118 - it is no mapping


def pandas_rows(out: Path) -> Iterator[tuple[str, np.ndarray]]:
    import pandas

    assert len(shards(out, ".parquet"))
    for row in pandas.read_parquet(out).to_dict("records"):
        yield row["id"], row["features"].reshape(row["frames"], row["channels"])


def arrow_dataset(out: Path) -> Iterator[tuple[str, np.ndarray]]:
    import pyarrow.dataset

    table = pyarrow.dataset.dataset(shards(out, ".parquet")).to_table()
    for row in table.to_pylist():
        yield row["id"], np.array(row["features"], np.float32).reshape(row["frames"], row["channels"])


def lhotse_numpy_files(out: Path) -> Iterator[tuple[str, np.ndarray]]:
    from lhotse import NumpyFilesReader

    reader = NumpyFilesReader(out)
    for path in sorted(path for path in out.rglob("*.npy")):
        name = path.relative_to(out).as_posix()
        yield name.removesuffix(".npy"), reader.read(name)


READERS: dict[Callable[[Path], Iterator[tuple[str, np.ndarray]]], str] = {
    kaldi_native_random: "kaldi",
    kaldi_native_sequential: "kaldi",
    kaldiio_scp: "kaldi",
    h5py_files: "hdf5",
    webdataset_tars: "tar",
    safe_open_shards: "safetensors",
    pandas_rows: "parquet",
    arrow_dataset: "parquet",
    lhotse_numpy_files: "npy",
}


def check_equal(found: list[tuple[str, np.ndarray]], expected: Features) -> None:
    """Each id once, by its own name, with its own bits; Kaldi has no columns where there are no rows."""
    assert sorted(decode(key) for key, _ in found) == sorted(expected)
    for key, rows in found:
        wanted = expected[decode(key)]
        assert rows.dtype == wanted.dtype
        assert rows.tobytes() == wanted.tobytes()
        assert rows.shape == wanted.shape or rows.shape == (0, 0) == (len(wanted), 0)


@pytest.mark.parametrize(("reader", "store"), READERS.items())
def test_the_ecosystem_reads_every_id_and_every_bit(tmp_path: Path, reader: Any, store: str) -> None:
    stored(tmp_path, store, FEATURES)
    check_equal(list(reader(tmp_path)), FEATURES)


@pytest.mark.parametrize(("reader", "store"), [(r, s) for r, s in READERS.items() if "float16" in STORES[s].dtypes])
def test_the_ecosystem_reads_float16(tmp_path: Path, reader: Any, store: str) -> None:
    features = {id: rows.astype(np.float16) for id, rows in FEATURES.items()}
    stored(tmp_path, store, features)
    found = list(reader(tmp_path))
    if reader is arrow_dataset:  # Python has no half floats, so this reader gives the same numbers as wider ones
        found = [(id, rows.astype(np.float16)) for id, rows in found]
    check_equal(found, features)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("name", STORES)
def test_we_read_what_we_wrote_in_any_order(tmp_path: Path, name: str, dtype: Dtype) -> None:
    if dtype not in STORES[name].dtypes:
        return
    features = {id: rows.astype(dtype) for id, rows in FEATURES.items()}
    lines = stored(tmp_path, name, features)
    assert [line.id for line in lines] == list(features)
    with OpenShards(tmp_path) as shards:
        for number in np.random.default_rng(0).permutation(len(lines)):
            rows = shards.read(lines[number])
            assert rows.dtype == np.dtype(dtype)
            assert np.array_equal(rows, features[lines[number].id])


@pytest.mark.parametrize("name", STORES)
def test_shards_roll_at_their_size_and_equal_features_make_equal_files(tmp_path: Path, name: str) -> None:
    features = {f"utt{number}": random_rows(number, 10) for number in range(12)}
    for out in (tmp_path / "a", tmp_path / "b"):
        out.mkdir()
        lines = stored(out, name, features)
    size = 10 * CHANNELS * 4
    expected = (
        [file_name(id, ".npy") for id in features]
        if name == "npy"
        else [
            f"features-{number * size // (SHARD_BYTES // size * size):06d}{STORES[name].suffix}" for number in range(12)
        ]
    )
    assert [line.path for line in lines] == expected
    for path in expected:
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes()


def test_a_kaldi_path_and_key_are_what_the_scp_says(tmp_path: Path) -> None:
    lines = stored(tmp_path, "kaldi", {"utt 1": random_rows(0, 3), "utt2": random_rows(1, 0)})
    scp = dict(line.split(" ") for line in (tmp_path / "feats.scp").read_text().splitlines())
    for line in lines:
        key, offset = (line.key or "").split(":")
        assert scp[key] == f"{tmp_path.resolve() / line.path}:{offset}"
    assert (tmp_path / "utt2num_frames").read_text() == "utt%201 3\nutt2 0\n"


@pytest.mark.parametrize("name", STORES)
def test_a_long_item_is_written_in_pieces(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(items_module, "BLOCK", 1000)
    rows = random_rows(0, 1003)
    np.save(tmp_path / "spooled.npy", rows)
    item = items_module.npy_item("long", tmp_path / "spooled.npy")
    assert max(block.nbytes for block in item.blocks()) <= 1000
    path = tmp_path / f"shard{STORES[name].suffix}"
    (key,) = STORES[name].write(path, [item])
    with contextlib.closing(STORES[name].open(path)) as shard:
        assert np.array_equal(shard.read(key or ""), rows)


def test_float16_is_refused_for_kaldi_and_the_message_says_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"must be float32 for the store 'kaldi': choose that \(--dtype\), or another"):
        store_named("kaldi").check("float16")
    with pytest.raises(ValueError, match="hold float32, got float16 of 'utt'; store it as float32"):
        ArkStream(io.BytesIO()).write("utt", np.ones((1, 2), np.float16))


def test_an_unknown_store_or_suffix_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"store \(='ark'\) must be one of 'npy', 'kaldi', 'hdf5'"):
        store_named("ark")
    with pytest.raises(ValueError, match=r"x.zarr belongs to no store; expected .* \.npy, \.ark, \.h5"):
        store_of("x.zarr")


@pytest.mark.parametrize(("name", "module"), [("hdf5", "h5py"), ("parquet", "pyarrow")])
def test_a_missing_library_is_named_with_its_extra(name: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"needs {module} .*pip install 'speechconv\[{name}\]'"):
        store_named(name).check("float32")


def test_an_ark_stream_is_read_by_kaldi_and_kaldiio_from_a_pipe() -> None:
    pipe = io.BytesIO()
    stream = ArkStream(pipe)
    for id, rows in FEATURES.items():
        stream.write(id, rows)
    kaldi = "import kaldi_native_io as k; r = k.SequentialFloatMatrixReader('ark:-')"
    kaldiio = "import sys, kaldiio; r = kaldiio.load_ark(sys.stdin.buffer)"
    show = "; print([(key, __import__('numpy').array(value).tobytes().hex()) for key, value in r])"
    expected = [(kaldi_key(id), rows.tobytes().hex()) for id, rows in FEATURES.items()]
    for program in (kaldi, kaldiio):
        command = [sys.executable, "-X", "utf8", "-c", program + show]
        done = subprocess.run(command, input=pipe.getvalue(), check=True, capture_output=True)
        assert done.stdout.decode() == f"{expected}\n"


def test_the_tar_is_one_that_tar_tools_unpack_safely(tmp_path: Path) -> None:
    lines = stored(tmp_path, "tar", FEATURES)
    for path in shards(tmp_path, ".tar"):
        with tarfile.open(path) as tar:
            tar.extractall(tmp_path / "unpacked", filter="data")
    for line in lines:
        assert np.array_equal(np.load(tmp_path / "unpacked" / f"{line.key}.npy"), FEATURES[line.id])


@pytest.mark.parametrize("name", STORES)
def test_a_damaged_shard_is_told_and_never_read_as_features(tmp_path: Path, name: str) -> None:
    (line,) = stored(tmp_path, name, {"utt": random_rows(0, 300)})
    path = tmp_path / line.path
    whole = path.read_bytes()
    for data in (b"", whole[: len(whole) // 2], b"\xff" * len(whole)):
        path.write_bytes(data)
        with OpenShards(tmp_path) as opened, pytest.raises(DamagedFeatures, match=f"{line.path} (is damaged|holds)"):
            opened.read(line)
    path.unlink()
    with OpenShards(tmp_path) as opened, pytest.raises(DamagedFeatures, match=f"{line.path} is missing"):
        opened.read(line)


@pytest.mark.parametrize("name", [name for name in STORES if name != "npy"])
def test_a_key_that_is_not_there_is_told(tmp_path: Path, name: str) -> None:
    first, second = stored(tmp_path, name, {"utt1": random_rows(0, 3), "utt2": random_rows(1, 3)})
    gone = dataclasses.replace(second, key=(first.key or "").replace("utt1", "utt3"))
    with OpenShards(tmp_path) as opened, pytest.raises(DamagedFeatures, match="holds nothing named 'utt3"):
        opened.read(gone)


LIMITED = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from speechconv.stores.item import array_item
from speechconv.stores.registry import STORES
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
items = [array_item(f"utt{number}", np.random.rand(50, 8).astype(np.float32)) for number in range(40)]
for store in STORES.values():
    if not store.one_each:
        try:
            store.write(Path(sys.argv[1], "shard" + store.suffix), items)
        except OSError as error:
            print(store.name, error.errno)
"""


def test_a_disk_that_takes_no_more_is_an_oserror_in_every_store_and_never_ends_the_process(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LIMITED, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0
    told = {store.name: errno.EFBIG for store in STORES.values() if not store.one_each}
    assert done.stdout == "".join(f"{name} {number}\n" for name, number in told.items())


def test_the_room_that_hdf5_reserved_and_did_not_need_is_given_back(tmp_path: Path) -> None:
    stored(tmp_path, "hdf5", {f"utt{number}": random_rows(number, 3) for number in range(10)})
    (path,) = map(Path, tmp_path.glob("features-*"))
    assert path.stat().st_size < 10 * 3 * CHANNELS * 4 + 10_000
    assert path.stat().st_blocks * 512 < 32_768


def test_few_files_are_open_at_once_and_any_is_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_shards, "LIMIT", 2)
    lines = stored(tmp_path, "kaldi", FEATURES)
    before = len(os.listdir("/proc/self/fd"))
    with OpenShards(tmp_path) as opened:
        for line in [*lines, *lines]:
            assert np.array_equal(opened.read(line), FEATURES[line.id])
            assert len(os.listdir("/proc/self/fd")) <= before + 2
    assert len(os.listdir("/proc/self/fd")) == before
