"""check finds each kind of harm, in every store, and nothing where there is none."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from speechconv.cli import main
from speechconv.stores.checking import check
from speechconv.stores.conversion import convert
from speechconv.stores.manifest import ManifestLine, encode_line
from speechconv.stores.registry import STORES
from tests.stores.corpora import BITING_IDS, generated_ids, lines, make_run, manifest_line, spool


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A good run in the npy store, without inputs that failed."""
    make_run(tmp_path / "run", [*BITING_IDS, *generated_ids(30)])
    (tmp_path / "run" / "errors.jsonl").unlink()
    return tmp_path / "run"


def found(out: Path) -> list[tuple[str, str]]:
    return [(problem.kind, problem.name) for problem in check(out).problems]


def append(out: Path, *new: bytes) -> None:
    with open(out / "manifest.jsonl", "ab") as file:
        file.writelines(new)


@pytest.mark.parametrize("store", STORES)
def test_a_good_run_is_good_in_every_store(run: Path, store: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = run.parent / "out"
    convert(run, out, store=store, shard_bytes=3000)
    assert main(["check", str(out)]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert f"{len(lines(run))} items, 0 problems" in said.err


@pytest.mark.parametrize("store", STORES)
def test_one_bit_that_turned_is_found_in_every_store(run: Path, store: str) -> None:
    out = run.parent / "out"
    convert(run, out, store=store, shard_bytes=3000)
    line = lines(out)[44]
    path = out / line.path
    data = bytearray(path.read_bytes())
    rows = np.load(run / lines(run)[44].path).tobytes()
    place = data.find(rows) if store != "parquet" else len(data) // 2
    assert place > 0
    data[place + 40] ^= 1
    path.write_bytes(data)
    damaged = found(out)
    assert {kind for kind, _ in damaged} <= {"damaged", "missing"}
    assert damaged == [("damaged", line.id)] or store == "parquet"
    assert damaged


def more_rows_than_memory(out: Path, line: ManifestLine) -> None:
    """One byte of the number of rows turned."""
    with open(out / line.path, "r+b") as file:
        file.seek(int((line.key or "").rpartition(":")[2]) + 6 + 3)
        file.write(b"\x70")


def a_header_without_an_end(out: Path, line: ManifestLine) -> None:
    data = (out / line.path).read_bytes()
    (out / line.path).write_bytes(data.replace(b"}", b" ", 1))


@pytest.mark.parametrize(("store", "harm"), [("kaldi", more_rows_than_memory), ("npy", a_header_without_an_end)])
def test_a_damaged_header_is_found_whatever_it_asks_for(
    run: Path, store: str, harm: Callable[[Path, ManifestLine], None]
) -> None:
    out = run.parent / "out"
    convert(run, out, store=store)
    line = lines(out)[44]
    harm(out, line)
    assert found(out) == [("damaged", line.id)]


@pytest.mark.parametrize("store", [name for name, store in STORES.items() if not store.one_each])
def test_features_in_a_shard_that_no_line_names_are_told_and_convert_leaves_them_out(run: Path, store: str) -> None:
    """As when inputs changed since: their lines name another shard."""
    out = run.parent / "out"
    convert(run, out, store=store, shard_bytes=3000)
    old = [line for number, line in enumerate(lines(out)) if number in (0, 20, 44)]
    (out / "manifest.jsonl").write_bytes(b"".join(encode_line(line) for line in lines(out) if line not in old))
    assert found(out) == [("stray", f"{line.path} {line.key}") for line in old]
    convert(out, run.parent / "clean", store=store)
    assert found(run.parent / "clean") == []


@pytest.mark.parametrize("store", STORES)
def test_a_shard_that_is_gone_is_found_for_each_of_its_ids(run: Path, store: str) -> None:
    out = run.parent / "out"
    convert(run, out, store=store, shard_bytes=3000)
    gone = lines(out)[20].path
    (out / gone).unlink()
    assert found(out) == [("missing", line.id) for line in lines(out) if line.path == gone]


def not_finite(run: Path) -> tuple[str, str]:
    rows = np.full((3, 8), np.nan, np.float32)
    append(run, encode_line(spool(run, "nan", rows)))
    return "damaged", "nan"


def another_shape(run: Path) -> tuple[str, str]:
    line = lines(run)[-1]
    np.save(run / line.path, np.load(run / line.path)[:-1])
    return "damaged", line.id


def another_dtype(run: Path) -> tuple[str, str]:
    line = lines(run)[-1]
    np.save(run / line.path, np.load(run / line.path).astype(np.float64))
    return "damaged", line.id


def longer_file(run: Path) -> tuple[str, str]:
    line = lines(run)[-1]
    with open(run / line.path, "ab") as file:
        file.write(b"x")
    return "damaged", line.id


def same_id(run: Path) -> tuple[str, str]:
    rows = np.ones((2, 8), np.float32)
    line = spool(run, "other", rows)
    append(run, encode_line(dataclasses.replace(line, id="plain")))
    return "duplicate", "plain"


def same_place(run: Path) -> tuple[str, str]:
    append(run, encode_line(dataclasses.replace(lines(run)[0], id="twin")))
    return "duplicate", "twin"


def stray_features(run: Path) -> tuple[str, str]:
    np.save(run / "spk0" / "stray.npy", np.ones((1, 8), np.float32))
    return "stray", "spk0/stray.npy"


def temporary(run: Path) -> tuple[str, str]:
    (run / "spk0" / ".speechconv-7.tmp").touch()
    return "stray", "spk0/.speechconv-7.tmp"


def failed_input(run: Path) -> tuple[str, str]:
    error = {"id": "bad\nid", "audio": "x", "stage": "open", "error": "OSError", "message": "gone"}
    (run / "errors.jsonl").write_text(json.dumps(error) + "\n")
    return "failed", "bad\nid"


def unfinished_run(run: Path) -> tuple[str, str]:
    (run / "run.json").write_text('{"status": "interrupted"}')
    return "unfinished", "run.json"


def unreadable_record(run: Path) -> tuple[str, str]:
    (run / "run.json").write_text("no JSON")
    return "damaged", "run.json"


def unknown_store(run: Path) -> tuple[str, str]:
    append(run, encode_line(manifest_line("zarr", np.ones((1, 8), np.float32), "x.zarr")))
    return "damaged", "zarr"


HARM = [
    *(not_finite, another_shape, another_dtype, longer_file, same_id, same_place, stray_features, temporary),
    *(failed_input, unfinished_run, unreadable_record, unknown_store),
]


@pytest.mark.parametrize("harm", HARM)
def test_each_kind_of_harm_is_found_and_told_in_one_line(
    run: Path, harm: Callable[[Path], tuple[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    kind, name = harm(run)
    assert main(["check", str(run)]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{kind:<10}  {json.dumps(name)}  ")


def test_the_index_of_a_store_belongs_to_it(run: Path) -> None:
    convert(run, run.parent / "out", store="kaldi")
    (run.parent / "out" / "utt2num_frames").unlink()
    assert found(run.parent / "out") == [("missing", "utt2num_frames")]


def test_files_of_the_users_own_and_a_torn_last_line_are_no_harm(run: Path) -> None:
    (run / "notes.txt").touch()
    append(run, b'{"id": "torn')
    assert found(run) == []


def test_json_tells_all_of_it(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(run / "spk0")
    assert main(["check", str(run), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    result = check(run)
    assert told["good"] is False
    assert [problem["name"] for problem in told["problems"]] == [problem.name for problem in result.problems]
    assert told["items"] == len(lines(run))
    assert told["bytes"] == sum(4 * 8 * line.frames for line in lines(run) if not line.id.startswith("spk0/"))


def test_a_folder_without_a_manifest_is_a_mistake_of_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path)]) == 2
    assert "holds no manifest.jsonl; expected a folder" in capsys.readouterr().err
    (tmp_path / "shard-0000-of-0002").mkdir()
    assert main(["check", str(tmp_path)]) == 2
    assert f"`speechconv merge {tmp_path}` makes it from the shards" in capsys.readouterr().err
