"""Shards merged into one manifest: what stands in it, what is refused, and that merging again is harmless."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import kaldiio
import numpy as np
import pytest

from speechconv.cli import main
from speechconv.runs.merging import merge_shards
from speechconv.stores import whole_file
from speechconv.stores.checking import check
from speechconv.stores.conversion import convert
from speechconv.stores.manifest import ErrorLine, ManifestLine, SkippedLine, read_lines
from speechconv.stores.registry import STORES
from speechconv.stores.statistics import feature_statistics
from tests.runs.folders import features, line, stored, write_run

REPORTS = ["errors.jsonl", "manifest.jsonl", "run.json", "skipped.jsonl"]


def shard(out: Path, number: int, count: int, ids: str = "", **run: Any) -> Path:
    folder = out / f"shard-{number:04d}-of-{count:04d}"
    lines: list[Any] = [
        stored(folder, id, features(ord(id), 11 + number), num_samples=16000 * (1 + number)) for id in ids
    ]
    lines.append(ErrorLine(f"bad{number}", f"/corpus/bad{number}.wav", "open", "AudioError", "is empty (0 bytes)."))
    lines.append(SkippedLine(f"short{number}", f"/corpus/short{number}.wav", 0.1, "shorter than 0.5 s"))
    return write_run(folder, lines, {"shard": f"{number}/{count}", **run})


def run_json(out: Path) -> dict[str, Any]:
    return json.loads((out / "run.json").read_text("utf-8"))


def here(out: Path) -> list[str]:
    return sorted(path.name for path in out.iterdir() if path.is_file())


def test_every_line_of_every_shard_stands_in_the_merged_reports(tmp_path: Path) -> None:
    for number, ids in enumerate(("ab", "", "cde")):
        shard(tmp_path, number, 3, ids)
    merged = merge_shards(tmp_path)
    lines = list(read_lines(tmp_path, ManifestLine))
    assert [each.id for each in lines] == list("abcde")
    assert [each.path[:18] for each in lines] == ["shard-0000-of-0003"] * 2 + ["shard-0002-of-0003"] * 3
    for each in lines:
        frames = 11 if each.id in "ab" else 13
        np.testing.assert_array_equal(np.load(tmp_path / each.path), features(ord(each.id), frames))
    assert [each.id for each in read_lines(tmp_path, ErrorLine)] == ["bad0", "bad1", "bad2"]
    assert [each.id for each in read_lines(tmp_path, SkippedLine)] == ["short0", "short1", "short2"]
    assert here(tmp_path) == REPORTS
    assert (merged.status, merged.files_ok, merged.files_failed, merged.frames) == ("finished", 5, 3, 2 * 11 + 3 * 13)
    assert feature_statistics(tmp_path).count == merged.frames


def test_run_json_sums_the_shards(tmp_path: Path) -> None:
    shard(tmp_path, 0, 2, "ab", started="2026-01-02", ended="2026-01-03")
    shard(tmp_path, 1, 2, "c", started="2026-01-01", ended="2026-01-02")
    merge_shards(tmp_path)
    run = run_json(tmp_path)
    assert run["totals"] == {
        "files_ok": 3,
        "files_failed": 2,
        "files_skipped": 2,
        "files_left": 0,
        "frames": 11 + 11 + 12,
        "audio_seconds": 1.0 + 1.0 + 2.0,
        "wall_seconds": 4.0,
    }
    assert run["real_time_factor"] == 1.0
    assert (run["status"], run["started"], run["ended"]) == ("finished", "2026-01-01", "2026-01-03")
    assert (run["recipe"], run["store"], run["shard"], run["shards"], run["missing"]) == ("r1", "npy", None, 2, [])
    assert run.keys() >= run_json(tmp_path / "shard-0000-of-0002").keys()


def test_names_that_are_no_utf_8_come_through(tmp_path: Path) -> None:
    hostile = "a\udcff\n</script>\u202e"
    folder = tmp_path / "shard-0000-of-0001"
    write_run(folder, [line(id=hostile, path="x.npy"), ErrorLine(hostile, hostile, "open", "AudioError", hostile)])
    merge_shards(tmp_path)
    assert next(read_lines(tmp_path, ManifestLine)).id == hostile
    assert next(read_lines(tmp_path, ErrorLine)).message == hostile


def test_missing_shards_are_named_and_refused_unless_allowed(tmp_path: Path) -> None:
    shard(tmp_path, 1, 4, "a")
    (tmp_path / "shard-0002-of-0004").mkdir()  # begun, and nothing written yet
    with pytest.raises(ValueError, match=r"not there: shard-0000-of-0004, shard-0002-of-0004, shard-0003-of-0004;"):
        merge_shards(tmp_path)
    assert here(tmp_path) == []
    merged = merge_shards(tmp_path, allow_missing=True)
    assert (merged.status, merged.missing) == ("running", (0, 2, 3))
    assert run_json(tmp_path)["missing"] == [0, 2, 3]
    assert [each.id for each in read_lines(tmp_path, ManifestLine)] == ["a"]


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        (("finished", "running"), "running"),
        (("interrupted", "running"), "interrupted"),
        (("interrupted", "disk full"), "disk full"),
        (("disk full", "failed"), "failed"),
    ],
)
def test_a_run_is_finished_only_if_every_shard_is(tmp_path: Path, statuses: tuple[str, str], status: str) -> None:
    for number, each in enumerate(statuses):
        totals = None if each == "running" else {"files_left": 5, "wall_seconds": 1.0}
        shard(tmp_path, number, 2, "ab"[number], status=each, totals=totals, ended=None)
    assert merge_shards(tmp_path).status == status
    run = run_json(tmp_path)
    assert (run["status"], run["ended"], run["totals"]["files_ok"]) == (status, None, 2)
    assert run["totals"]["files_left"] == 5 * sum(each != "running" for each in statuses)


def test_shards_of_different_counts_are_refused(tmp_path: Path) -> None:
    shard(tmp_path, 0, 2, "a")
    shard(tmp_path, 0, 3, "a")
    with pytest.raises(ValueError, match="holds shards of 2 and of 3"):
        merge_shards(tmp_path)


@pytest.mark.parametrize("number", [2, 3])
def test_a_number_that_cannot_be_is_refused(tmp_path: Path, number: int) -> None:
    shard(tmp_path, number, 2, "a")
    with pytest.raises(ValueError, match=rf"shard-000{number}-of-0002 cannot be: shards of 2 have the numbers 0 to 1"):
        merge_shards(tmp_path, allow_missing=True)


def test_shards_of_different_recipes_are_refused(tmp_path: Path) -> None:
    shard(tmp_path, 0, 2, "a")
    shard(tmp_path, 1, 2, "b", recipe="r2")
    with pytest.raises(ValueError, match=r"shard-0000-of-0002 and shard-0001-of-0002 .* different recipes \(r1, r2\)"):
        merge_shards(tmp_path)
    assert here(tmp_path) == []


def test_a_line_of_another_recipe_is_refused_unless_its_shard_was_resumed_mixed(tmp_path: Path) -> None:
    folder = tmp_path / "shard-0000-of-0001"
    write_run(folder, [line(id="a"), line(id="b", recipe="r2")])
    with pytest.raises(ValueError, match=r"the features of 'b' in .* were made by another recipe"):
        merge_shards(tmp_path)
    assert here(tmp_path) == []
    write_run(folder, [], {"options": {"resume_mixed": True}})
    assert merge_shards(tmp_path).files_ok == 2


def test_different_versions_are_told(tmp_path: Path) -> None:
    shard(tmp_path, 0, 2, "a")
    shard(tmp_path, 1, 2, "b", versions={"torch": "9"})
    with pytest.warns(UserWarning, match="different versions of the libraries"):
        merge_shards(tmp_path)


def test_of_one_id_in_two_shards_the_first_wins_and_the_other_is_an_error(tmp_path: Path) -> None:
    shard(tmp_path, 0, 2, "ab")
    shard(tmp_path, 1, 2, "bc")
    merged = merge_shards(tmp_path)
    lines = {each.id: each.path for each in read_lines(tmp_path, ManifestLine)}
    assert lines["b"] == "shard-0000-of-0002/b.npy"
    assert sorted(lines) == ["a", "b", "c"]
    (error,) = [each for each in read_lines(tmp_path, ErrorLine) if each.id == "b"]
    assert (error.stage, error.audio) == ("input", "/corpus/b.wav")
    assert "stands in shard-0000-of-0002 already; the features that shard-0001-of-0002 made" in error.message
    assert (merged.files_ok, merged.files_failed) == (3, 3)


def test_merging_again_changes_nothing_and_takes_what_came_later(tmp_path: Path) -> None:
    shard(tmp_path, 0, 2, "a")
    merge_shards(tmp_path, allow_missing=True)
    shard(tmp_path, 1, 2, "b")
    merge_shards(tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in REPORTS}
    merge_shards(tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in REPORTS} == before
    assert [each.id for each in read_lines(tmp_path, ManifestLine)] == ["a", "b"]


def test_a_merge_that_fails_leaves_the_earlier_one_as_it_was(tmp_path: Path) -> None:
    folder = shard(tmp_path, 0, 1, "ab")
    merge_shards(tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in REPORTS}
    with open(folder / "manifest.jsonl", "ab") as file:
        file.write(b"no line of ours\n")
    with pytest.raises(ValueError, match="is not a line that speechconv wrote"):
        merge_shards(tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in here(tmp_path)} == before


def test_run_json_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A merge that is killed halfway can be run again: the folder does not look like a run of its own."""
    shard(tmp_path, 0, 1, "a")
    named: list[str] = []
    replace = whole_file.os.replace
    monkeypatch.setattr(whole_file.os, "replace", lambda old, new: (named.append(Path(new).name), replace(old, new)))
    merge_shards(tmp_path)
    assert named[-1] == "run.json"
    assert sorted(named) == REPORTS


def test_a_run_beside_the_shards_is_not_overwritten(tmp_path: Path) -> None:
    write_run(tmp_path, [line()])
    shard(tmp_path, 0, 1, "b")
    with pytest.raises(ValueError, match="holds a run of its own"):
        merge_shards(tmp_path)
    assert [each.id for each in read_lines(tmp_path, ManifestLine)] == ["a"]


def test_a_torn_last_line_of_a_shard_is_left_out(tmp_path: Path) -> None:
    folder = shard(tmp_path, 0, 1, "ab")
    data = (folder / "manifest.jsonl").read_bytes()
    (folder / "manifest.jsonl").write_bytes(data[:-5])
    assert merge_shards(tmp_path).files_ok == 1


def test_the_command_says_what_came_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["merge", str(tmp_path)]) == 2
    assert "no shards in" in capsys.readouterr().err
    write_run(tmp_path / "shard-0001-of-0002", [line()])
    assert main(["merge", str(tmp_path)]) == 2
    assert "not there: shard-0000-of-0002" in capsys.readouterr().err
    assert main(["merge", str(tmp_path), "--allow-missing"]) == 0
    assert capsys.readouterr().out == "1 of 2 shards, running: 1 files, 100 frames, 1.0 s of audio\n"
    shard(tmp_path, 0, 2, "b")
    assert main(["merge", str(tmp_path)]) == 3
    assert capsys.readouterr().out.endswith(f"; 1 skipped; 1 failed, see {tmp_path}/errors.jsonl\n")


@pytest.mark.parametrize("store", ["npy", "hdf5"])
def test_shards_that_were_converted_to_float16_are_merged(tmp_path: Path, store: str) -> None:
    """One of them without a single line, as where all inputs of a shard failed."""
    for number in range(3):
        name = f"shard-{number:04d}-of-0003"
        folder = tmp_path / "in" / name
        lines = [stored(folder, f"{number}", features(number, 4))] if number < 2 else []
        write_run(folder, lines, {"status": "finished", "recipe": "r1", "options": {"dtype": "float32"}})
        convert(folder, tmp_path / "out" / name, store=store, dtype="float16")
    assert merge_shards(tmp_path / "out").files_ok == 2
    assert run_json(tmp_path / "out")["recipe"] == "r1+float16"
    assert check(tmp_path / "out").good


@pytest.mark.parametrize("store", STORES)
def test_merged_shards_are_a_whole_run_in_every_store(tmp_path: Path, store: str) -> None:
    arrays = {f"{number} utt": features(number, 4 + number) for number in range(3)}
    for number, (id, array) in enumerate(arrays.items()):
        name = f"shard-{number:04d}-of-0003"
        write_run(tmp_path / "in" / name, [stored(tmp_path / "in" / name, id, array)], {"recipe": "r1"})
        convert(tmp_path / "in" / name, tmp_path / "out" / name, store=store)
    merge_shards(tmp_path / "out")
    assert check(tmp_path / "out").problems == []
    index = STORES[store].index_files
    assert [name for name in here(tmp_path / "out") if name not in REPORTS] == sorted(index)
    if store == "kaldi":
        found: Any = kaldiio.load_scp(f"{tmp_path}/out/feats.scp")
        assert {key: found[key].tolist() for key in found} == {
            id.replace(" ", "%20"): array.tolist() for id, array in arrays.items()
        }
