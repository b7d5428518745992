"""A packer's lines are true the moment they come back, whatever ends it."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from speechconv.stores.ids import TEMPORARY
from speechconv.stores.item import Item
from speechconv.stores.manifest import ManifestLine
from speechconv.stores.open_shards import OpenShards, digest
from speechconv.stores.packer import Packer, next_number, remove_orphans
from speechconv.stores.registry import STORES
from speechconv.stores.store import Store
from tests.stores.corpora import BITING_IDS, files, random_rows, spool

SPOOL = ".speechconv-spool/"
TAR = STORES["tar"]


def spooled(out: Path, count: int = 10, frames: int = 10) -> list[ManifestLine]:
    """Items of 320 bytes in the spool."""
    return [spool(out, f"utt{number}", random_rows(number, frames), SPOOL) for number in range(count)]


def check_true(out: Path, lines: Sequence[ManifestLine]) -> None:
    with OpenShards(out) as shards:
        for line in lines:
            assert digest(shards.read(line)) == line.sha256


class FullDisk:
    """A store whose disk is full after some shards."""

    def __init__(self, store: Store, shards: int) -> None:
        self.shards = shards
        self.store = replace(store, write=self.write)
        self._write = store.write

    def write(self, path: Path, items: Sequence[Item]) -> Sequence[str | None]:
        keys = self._write(path, items)
        self.shards -= 1
        if self.shards < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return keys


@pytest.mark.parametrize("name", [name for name in STORES if name != "npy"])
def test_lines_come_back_in_order_each_once_and_true(tmp_path: Path, name: str) -> None:
    taken = [spool(tmp_path, id, random_rows(n, n % 4), SPOOL) for n, id in enumerate(BITING_IDS)]
    packer = Packer(tmp_path, STORES[name], shard_bytes=500)
    placed = []
    for line in taken:
        back = packer.take(line)
        check_true(tmp_path, back)
        placed += back
        packer.forget_spooled(back)
    rest = packer.close()
    packer.forget_spooled(rest)
    placed += rest
    check_true(tmp_path, placed)
    assert [replace(line, path="", key=None) for line in placed] == [replace(line, path="", key=None) for line in taken]
    assert {*files(tmp_path)} == {line.path for line in placed}
    assert len({line.path for line in placed}) > 3


def test_nothing_is_forgotten_before_the_caller_says_so(tmp_path: Path) -> None:
    taken = spooled(tmp_path)
    packer = Packer(tmp_path, TAR, shard_bytes=1000)
    placed = [line for line in taken for line in packer.take(line)] + packer.close()
    assert len(placed) == len(taken)
    assert all((tmp_path / line.path).exists() for line in taken)


def test_the_callers_loop_is_not_held_up_by_one_shard_but_by_two(tmp_path: Path) -> None:
    started, go_on = threading.Event(), threading.Event()

    def slow(path: Path, items: Sequence[Item]) -> Sequence[str | None]:
        started.set()
        assert go_on.wait(10)
        return TAR.write(path, items)

    lines = spooled(tmp_path, 7)
    packer = Packer(tmp_path, replace(TAR, write=slow), shard_bytes=640)
    assert [packer.take(line) for line in lines[:4]] == [[]] * 4
    assert started.wait(10)
    waiting = threading.Timer(0.2, go_on.set)
    waiting.start()
    assert len(packer.take(lines[4])) >= 2
    assert not waiting.is_alive()
    packer.close()


def test_an_item_larger_than_a_shard_has_one_of_its_own(tmp_path: Path) -> None:
    lines = [spool(tmp_path, id, random_rows(0, frames), SPOOL) for id, frames in [("a", 2), ("b", 99), ("c", 2)]]
    packer = Packer(tmp_path, TAR, shard_bytes=500)
    placed = [line for line in lines for line in packer.take(line)] + packer.close()
    assert [line.path for line in placed] == [f"features-00000{number}.tar" for number in range(3)]


def test_a_shard_holds_one_dtype(tmp_path: Path) -> None:
    lines = [spool(tmp_path, f"{n}", random_rows(n, 3, "float16" if n == 1 else "float32"), SPOOL) for n in range(3)]
    packer = Packer(tmp_path, STORES["parquet"])
    placed = [line for line in lines for line in packer.take(line)] + packer.close()
    assert len({line.path for line in placed}) == 3
    check_true(tmp_path, placed)


def test_a_resumed_run_goes_on_with_the_next_number(tmp_path: Path) -> None:
    lines = spooled(tmp_path)
    named = ["features-000007.tar", "spk/features-000099.tar", "x.npy", "features-1234567.ark"]
    assert next_number(named) == 1234568
    packer = Packer(tmp_path, TAR, first=next_number(named[:3]))
    packer.take(lines[0])
    assert packer.close()[0].path == "features-000008.tar"


def test_a_full_disk_leaves_what_is_whole_and_the_rest_in_the_spool(tmp_path: Path) -> None:
    taken = spooled(tmp_path)
    packer = Packer(tmp_path, FullDisk(TAR, 2).store, shard_bytes=640)
    placed: list[ManifestLine] = []

    def pack() -> None:
        for line in taken:
            back = packer.take(line)
            packer.forget_spooled(back)
            placed.extend(back)
        packer.close()

    with pytest.raises(OSError, match="No space left"):
        pack()
    placed += packer.discard()
    assert [line.id for line in placed] == [line.id for line in taken[:4]]
    check_true(tmp_path, placed)
    left = {line.path for line in taken[4:]} | {line.path for line in placed}
    assert {*files(tmp_path)} >= left
    assert not list(tmp_path.glob(f"{TEMPORARY}*.tmp"))


def test_after_a_full_disk_close_tries_again(tmp_path: Path) -> None:
    taken = spooled(tmp_path)
    disk = FullDisk(TAR, 0)
    packer = Packer(tmp_path, disk.store, shard_bytes=10_000)
    for line in taken:
        packer.take(line)
    with pytest.raises(OSError, match="No space left"):
        packer.close()
    disk.shards = 9
    assert [line.path for line in packer.close()] == ["features-000000.tar"] * len(taken)


def test_discard_finishes_the_shard_in_hand_and_packs_no_more(tmp_path: Path) -> None:
    taken = spooled(tmp_path)
    packer = Packer(tmp_path, TAR, shard_bytes=640)
    placed = [back for line in taken for back in packer.take(line)]
    placed += packer.discard()
    check_true(tmp_path, placed)
    assert [line.id for line in placed] == [line.id for line in taken[: len(placed)]]
    assert 0 < len(placed) < len(taken)
    assert {path for path in files(tmp_path) if "/" not in path} == {line.path for line in placed}


def test_a_spooled_file_that_another_run_wrote_is_no_item_of_this_one(tmp_path: Path) -> None:
    (line,) = spooled(tmp_path, 1)
    np.save(tmp_path / line.path, np.ones((2, 8), np.float32))
    packer = Packer(tmp_path, TAR)
    packer.take(line)
    with pytest.raises(ValueError, match=r"holds \(2, 8\) float32, expected \(10, 8\) float32; another run"):
        packer.close()
    assert not list(tmp_path.glob("features-*"))


KILLED = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
from speechconv.stores.packer import Packer
from speechconv.stores.registry import STORES
from tests.stores.test_packer import spooled
out, name = Path(sys.argv[1]), sys.argv[2]
store = STORES[name]
count = 0
def write(path, items):
    global count
    count += 1
    keys = store.write(path, items[: len(items) // 2] if count == 3 else items)
    if count == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return keys
packer = Packer(out, replace(store, write=write), shard_bytes=640)
for line in spooled(out):
    packer.take(line)
packer.close()
"""


@pytest.mark.parametrize("name", ["tar", "hdf5"])
def test_a_killed_packer_leaves_nothing_that_looks_whole_and_is_not(tmp_path: Path, name: str) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, tmp_path, name], capture_output=True)
    assert done.returncode == -signal.SIGKILL
    suffix = STORES[name].suffix
    assert {path for path in os.listdir(tmp_path) if path.startswith("features")} == {
        f"features-000000{suffix}",
        f"features-000001{suffix}",
    }
    remove_orphans(tmp_path, {f"features-000000{suffix}"})
    assert sorted(os.listdir(tmp_path)) == [SPOOL.rstrip("/"), f"features-000000{suffix}"]
    check_true(tmp_path, [replace(line, path=f"features-000000{suffix}", key=line.id) for line in spooled(tmp_path, 2)])


def test_orphans_are_shards_that_no_line_names_and_nothing_else(tmp_path: Path) -> None:
    names = ["features-000000.tar", "features-000001.tar", "features-000002.h5", "features-000003.npy", "features.tar"]
    names += [
        ".speechconv-7-features-000004.ark.tmp",
        "my-features-000001.tar",
        "features-000001.txt",
        "a/features-000009.tar",
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    remove_orphans(tmp_path, {"features-000001.tar"})
    gone = {"features-000000.tar", "features-000002.h5", ".speechconv-7-features-000004.ark.tmp"}
    assert {*files(tmp_path)} == {*names} - gone
