"""convert: bit by bit through every store, and all or nothing.

SPEECHCONV_STORE_ITEMS=20000 makes the ring a long one.
"""

from __future__ import annotations

import dataclasses
import errno
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from speechconv.cli import main
from speechconv.commands import options as command_options
from speechconv.stores import conversion
from speechconv.stores.checking import check
from speechconv.stores.conversion import convert
from speechconv.stores.feature_file import Dtype
from speechconv.stores.manifest import ManifestLine, encode_line
from speechconv.stores.registry import STORES
from tests.stores.corpora import BITING_IDS, COUNT, files, generated_ids, lines, make_run, random_rows, spool

RING = ("kaldi", "hdf5", "tar", "safetensors", "parquet", "npy")


def without_place(line: ManifestLine) -> ManifestLine:
    return dataclasses.replace(line, path="", key=None)


def problems(out: Path) -> set[str]:
    """What a check finds beside the input that failed from the start."""
    return {str(problem) for problem in check(out).problems if problem.kind != "failed"}


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_ring_of_all_stores_gives_back_every_bit(tmp_path: Path, dtype: Dtype) -> None:
    make_run(tmp_path / "start", [*BITING_IDS, *generated_ids(COUNT)], dtype)
    source = tmp_path / "start"
    for store in RING:
        if dtype in STORES[store].dtypes:
            out = tmp_path / f"{store}-again"
            assert convert(source, out, store=store, shard_bytes=500 * COUNT) == len(BITING_IDS) + COUNT
            assert [without_place(line) for line in lines(out)] == [without_place(line) for line in lines(source)]
            assert json.loads((out / "run.json").read_text())["store"] == store
            assert not problems(out)
            source = out
    assert {*files(source)} == {*files(tmp_path / "start")}
    for name in {*files(source)} - {"run.json"}:
        assert (source / name).read_bytes() == (tmp_path / "start" / name).read_bytes()


@pytest.mark.parametrize("store", ["npy", "tar"])
def test_float16_is_rounded_as_numpy_does_and_its_sha256_is_anew(tmp_path: Path, store: str) -> None:
    features = make_run(tmp_path / "run", BITING_IDS)
    convert(tmp_path / "run", tmp_path / "half", store=store, dtype="float16")
    convert(tmp_path / "half", tmp_path / "npy", store="npy")
    assert not problems(tmp_path / "half")
    for line in lines(tmp_path / "npy"):
        rows = np.load(tmp_path / "npy" / line.path)
        assert rows.dtype == np.float16
        assert np.array_equal(rows, features[line.id].astype(np.float16))
        assert line.recipe == "r+float16"
    assert json.loads((tmp_path / "half" / "run.json").read_text())["dtype"] == "float16"


def test_what_float16_cannot_hold_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    line = spool(tmp_path / "run", "loud", np.full((2, 8), 1e5, np.float32))
    (tmp_path / "run" / "manifest.jsonl").write_bytes(encode_line(line))
    with pytest.raises(ValueError, match=r"'loud' are up to 100000 in size, and float16 ends at 65504"):
        convert(tmp_path / "run", tmp_path / "out", store="tar", dtype="float16")
    assert not (tmp_path / "out").exists()


def test_kaldi_refuses_float16_before_anything_is_written(tmp_path: Path) -> None:
    make_run(tmp_path / "run", ["a"], "float16")
    with pytest.raises(ValueError, match=r"must be float32 for the store 'kaldi': choose that \(--dtype\)"):
        convert(tmp_path / "run", tmp_path / "out", store="kaldi")
    assert not (tmp_path / "out").exists()
    assert convert(tmp_path / "run", tmp_path / "out", store="kaldi", dtype="float32") == 1


@pytest.mark.parametrize("store", ["npy", "hdf5"])
def test_damage_is_told_and_not_copied(tmp_path: Path, store: str) -> None:
    make_run(tmp_path / "run", generated_ids(20))
    line = lines(tmp_path / "run")[13]
    np.save(tmp_path / "run" / line.path, random_rows(99, line.frames))
    with pytest.raises(ValueError, match=rf"no features of '{line.id}': .* sha256; `speechconv check .*/run` says"):
        convert(tmp_path / "run", tmp_path / "out", store=store, shard_bytes=500)
    assert not (tmp_path / "out").exists()


def full_after(count: int, store: str) -> Any:
    """STORES with a disk that is full after `count` shards of one."""
    original = STORES[store]
    left = [count]

    def write(path: Path, items: Any) -> Any:
        keys = original.write(path, items)
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return keys

    return dataclasses.replace(original, write=write)


@pytest.mark.parametrize("store", STORES)
def test_a_full_disk_ends_it_with_status_4_and_leaves_nothing(
    tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path / "run", generated_ids(20))
    (tmp_path / "out").mkdir()
    monkeypatch.setitem(STORES, store, full_after(3, store))
    command = ["convert", f"{tmp_path}/run", "-o", f"{tmp_path}/out", "--store", store, "--shard-bytes", "900"]
    assert main(command) == 4
    assert "No space left" in capsys.readouterr().err
    assert not list((tmp_path).glob("out/*"))


KILLED = """
import os, signal, sys
from dataclasses import replace
from speechconv.cli import main
from speechconv.stores.registry import STORES
store = STORES[sys.argv[1]]
count = 0
def write(path, items):
    global count
    count += 1
    if count == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return store.write(path, items)
STORES[store.name] = replace(store, write=write)
main(["convert", sys.argv[2], "-o", sys.argv[3], "--store", store.name, "--shard-bytes", "900"])
"""


@pytest.mark.parametrize("store", ["npy", "tar"])
def test_a_killed_conversion_has_no_manifest_and_the_next_one_starts_clean(tmp_path: Path, store: str) -> None:
    make_run(tmp_path / "run", generated_ids(40))
    out = tmp_path / "out"
    done = subprocess.run([sys.executable, "-c", KILLED, store, tmp_path / "run", out], capture_output=True)
    assert done.returncode == -signal.SIGKILL
    assert list(files(out))
    assert not (out / "manifest.jsonl").exists()
    assert main(["check", str(out)]) == 2
    convert(tmp_path / "run", out, store=store)
    assert not problems(out)


def test_overwrite_forgets_the_earlier_run_and_leaves_the_users_files(tmp_path: Path) -> None:
    make_run(tmp_path / "run", generated_ids(10))
    make_run(tmp_path / "out", ["old/1", "old/2"])
    (tmp_path / "out" / "old" / "notes.txt").touch()
    with pytest.raises(ValueError, match=r"out holds an earlier run .*--overwrite"):
        convert(tmp_path / "run", tmp_path / "out", store="kaldi")
    convert(tmp_path / "run", tmp_path / "out", store="kaldi", overwrite=True)
    assert not problems(tmp_path / "out")
    convert(tmp_path / "run", tmp_path / "out", store="hdf5", overwrite=True)
    assert {*files(tmp_path / "out")} == {
        *("errors.jsonl", "features-000000.h5", "manifest.jsonl", "old/notes.txt", "run.json", "skipped.jsonl")
    }


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda out: out.touch(), "is a file; expected a folder"),
        (lambda out: (out / "mine").mkdir(parents=True), "is not empty, and holds no manifest.jsonl"),
        (lambda out: out.symlink_to("run"), "is the folder to convert"),
        (lambda out: out.symlink_to("."), "is the folder to convert, or holds it"),
    ],
)
def test_a_folder_that_is_in_use_is_refused(tmp_path: Path, prepare: Callable[[Path], None], message: str) -> None:
    make_run(tmp_path / "run", ["a"])
    prepare(tmp_path / "out")
    before = [*files(tmp_path)]
    with pytest.raises(ValueError, match=message):
        convert(tmp_path / "run", tmp_path / "out", store="tar", overwrite=True)
    assert [*files(tmp_path)] == before


def test_a_record_that_is_damaged_is_said_before_the_work(tmp_path: Path) -> None:
    make_run(tmp_path / "run", ["a"])
    for damage in ("[1]", "no JSON"):
        (tmp_path / "run" / "run.json").write_text(damage)
        with pytest.raises(ValueError, match=r"run/run\.json is not what speechconv wrote"):
            convert(tmp_path / "run", tmp_path / "out", store="tar")
        assert os.listdir(tmp_path) == ["run"]


def test_a_path_that_leads_out_of_the_folder_is_not_deleted(tmp_path: Path) -> None:
    make_run(tmp_path / "run", ["a"])
    make_run(tmp_path / "out", ["b"])
    (tmp_path / "precious.npy").touch()
    line = dataclasses.replace(lines(tmp_path / "out")[0], id="c", path="../precious.npy")
    with open(tmp_path / "out" / "manifest.jsonl", "ab") as manifest:
        manifest.write(encode_line(line))
    convert(tmp_path / "run", tmp_path / "out", store="tar", overwrite=True)
    assert (tmp_path / "precious.npy").exists()


def test_ark_to_stdout_is_read_by_kaldi_and_by_kaldiio(tmp_path: Path) -> None:
    import kaldiio

    features = make_run(tmp_path / "run", generated_ids(30))
    command = [sys.executable, "-m", "speechconv", "convert", str(tmp_path / "run"), "-o", "ark:-"]
    done = subprocess.run(command, capture_output=True, check=True)
    found: dict[str, Any] = dict(cast(Any, kaldiio.load_ark(io.BytesIO(done.stdout))))
    assert {key.replace("%20", " "): rows.tobytes() for key, rows in found.items()} == {
        id: rows.tobytes() for id, rows in features.items()
    }
    kaldi = "import kaldi_native_io as k; print(sum(1 for _ in k.SequentialFloatMatrixReader('ark:-')))"
    counted = subprocess.run([sys.executable, "-c", kaldi], input=done.stdout, capture_output=True, check=True)
    assert int(counted.stdout) == 30


def test_a_reader_that_goes_away_ends_it_quietly(tmp_path: Path) -> None:
    make_run(tmp_path / "run", generated_ids(2000))
    command = [sys.executable, "-m", "speechconv", "convert", str(tmp_path / "run"), "-o", "ark:-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "out"], "--store says which kind of files to write"),
        (["-o", "ark:-", "--store", "tar"], "ark:- is a Kaldi archive; drop --store tar"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(
    tmp_path: Path,
    options: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "run", ["a"])
    options = [str(tmp_path / "out") if option == "out" else option for option in options]
    assert main(["convert", str(tmp_path / "run"), *options]) == 2
    assert message in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["run"]


def test_the_commands_know_every_store() -> None:
    assert tuple(STORES) == command_options.STORES


def test_the_size_of_a_shard_is_said_as_extract_takes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(tmp_path / "run", generated_ids(9))
    command = ["convert", f"{tmp_path}/run", "-o", f"{tmp_path}/out", "--store", "tar", "--shard-bytes"]
    assert main([*command, "1k"]) == 0
    assert [len(list(tmp_path.glob("out/*.tar"))), check(tmp_path / "out").items] == [
        expected_shards(tmp_path, 1024),
        9,
    ]
    with pytest.raises(SystemExit) as stop:
        main([*command, "0"])
    assert stop.value.code == 2
    assert "expected a number of bytes such as 64M, got '0'" in capsys.readouterr().err


def expected_shards(folder: Path, most: int) -> int:
    """How many a plain filling gives."""
    count, room = 0, 0
    for line in lines(folder / "run"):
        size = line.frames * line.channels * np.dtype(line.dtype).itemsize
        if size > room:
            count, room = count + 1, most
        room -= size
    return count


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(tmp_path), "-o", str(tmp_path / "out"), "--store", "tar"]) == 2
    assert "holds no manifest.jsonl; expected a folder that speechconv extract" in capsys.readouterr().err


def test_ctrl_c_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(tmp_path / "run", generated_ids(20))

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(conversion, "_copy_reports", stop)
    with pytest.raises(KeyboardInterrupt):
        convert(tmp_path / "run", tmp_path / "out", store="safetensors")
    assert not (tmp_path / "out").exists()
