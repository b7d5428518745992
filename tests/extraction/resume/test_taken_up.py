"""The same call again goes on from what is there: nothing twice, nothing stale, nothing lost."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import speechconv as sc
from tests.extraction.resume.corpus import NAMES, fresh, ids, sums, times, write
from tests.extraction.runs import check_truth, errors, json_lines, manifest, without_seconds
from tests.sounds import noise


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.usefixtures("forked_workers")
def test_nothing_is_computed_twice(corpus: Path, out: Path, jobs: int) -> None:
    first = sc.extract(corpus, out=out)
    before, lines = times(out), manifest(out)
    again = sc.extract(corpus, out=out, jobs=jobs)
    assert (first.files_reused, again.files_reused) == (0, 4)
    assert (again.files_ok, again.frames, again.audio_seconds) == (4, first.frames, 0)
    assert times(out) == before
    assert manifest(out) == lines


@pytest.mark.usefixtures("forked_workers")
def test_a_packed_store_is_not_made_twice(corpus: Path, packed: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in packed.glob("features-*")}
    assert sc.extract(corpus, out=packed, store="tar", jobs=2).files_reused == 4
    assert {path.name: path.stat().st_mtime_ns for path in packed.glob("features-*")} == before


@pytest.mark.parametrize("change", ["size", "time"])
def test_a_file_that_changed_is_done_again(corpus: Path, out: Path, tmp_path: Path, change: str) -> None:
    sc.extract(corpus, out=out)
    before = times(out)
    sound = corpus / "b.wav"
    status = sound.stat()
    write(sound, noise(4800 + 160 * (change == "size"), seed=9))
    moved = status.st_mtime_ns + (change == "time")
    os.utime(sound, ns=(status.st_atime_ns, moved))
    assert sc.extract(corpus, out=out).files_reused == 3
    assert [name for name in NAMES if times(out)[name] != before[name]] == ["b"]
    assert ids(out) == list(NAMES)
    assert sums(out) == fresh(corpus, tmp_path / "fresh")
    check_truth(out)


def test_sha256_knows_new_content_of_the_same_size_and_time(corpus: Path, out: Path, tmp_path: Path) -> None:
    def replace_b(seed: int) -> None:
        status = (corpus / "b.wav").stat()
        write(corpus / "b.wav", noise(4800, seed=seed))
        os.utime(corpus / "b.wav", ns=(status.st_atime_ns, status.st_mtime_ns))

    sc.extract(corpus, out=out, identity="sha256")
    for sound in corpus.iterdir():
        os.utime(sound)
    assert sc.extract(corpus, out=out, identity="sha256").files_reused == 4
    replace_b(seed=9)
    assert sc.extract(corpus, out=out, identity="sha256").files_reused == 3
    assert sums(out) == fresh(corpus, tmp_path / "fresh")


def test_check_tells_the_features_of_an_input_that_changed(corpus: Path, packed: Path, tmp_path: Path) -> None:
    write(corpus / "b.wav", noise(900))
    sc.extract(corpus, out=packed, store="tar")
    assert [(problem.kind, problem.name) for problem in sc.check(packed).problems] == [
        ("stray", "features-000000.tar b")
    ]
    sc.convert(packed, tmp_path / "clean", store="tar")
    assert sc.check(tmp_path / "clean").good


def test_errors_are_tried_again_and_their_lines_replaced(corpus: Path, out: Path) -> None:
    for name in ("bad", "gone"):
        (corpus / f"{name}.wav").write_bytes(b"")
    assert sc.extract(corpus, out=out).files_failed == 2
    assert [line["id"] for line in errors(out)] == ["bad", "gone"]
    assert sc.extract(corpus, out=out).files_failed == 2
    assert [line["id"] for line in errors(out)] == ["bad", "gone"]
    write(corpus / "bad.wav", noise(1600))
    summary = sc.extract(corpus, out=out)
    assert (summary.files_ok, summary.files_reused, summary.files_failed) == (5, 4, 1)
    assert [line["id"] for line in errors(out)] == ["gone"]
    assert ids(out) == ["a", "b", "bad", "c", "d"]


def test_an_input_that_broke_since_loses_its_old_features(corpus: Path, out: Path) -> None:
    sc.extract(corpus, out=out)
    (corpus / "b.wav").write_bytes(b"")
    assert sc.extract(corpus, out=out).files_failed == 1
    assert ids(out) == ["a", "c", "d"]
    assert sorted(times(out)) == ["a", "c", "d"]


def test_skipped_ones_are_listed_and_looked_at_again(corpus: Path, out: Path) -> None:
    def run(**options: Any) -> tuple[int, int, list[str]]:
        summary = sc.extract(corpus, out=out, **options)
        return summary.files_ok, summary.files_skipped, [line["id"] for line in json_lines(out / "skipped.jsonl")]

    assert run(min_duration=0.15, max_duration=0.35) == (2, 2, ["a", "d"])
    assert run(min_duration=0.15, max_duration=0.35) == (2, 2, ["a", "d"])
    assert run(min_duration=0.15) == (3, 1, ["d"])
    assert run() == (4, 0, [])
    assert ids(out) == list(NAMES)


def test_new_inputs_are_added_in_the_order_of_the_inputs(corpus: Path, out: Path, tmp_path: Path) -> None:
    sc.extract([corpus / "d.wav", corpus / "b.wav"], out=out)
    assert ids(out) == ["d", "b"]
    write(corpus / "bb.wav", noise(800))
    assert sc.extract(corpus, out=out).files_reused == 2
    assert ids(out) == ["a", "b", "bb", "c", "d"]
    sc.extract(corpus, out=tmp_path / "fresh")
    assert without_seconds(manifest(out))[2] == without_seconds(manifest(tmp_path / "fresh"))[2]


@pytest.mark.parametrize("store", ["npy", "tar"])
def test_a_corpus_that_was_moved_is_known_again(corpus: Path, out: Path, tmp_path: Path, store: str) -> None:
    sc.extract(corpus, out=out, store=store)
    moved = corpus.rename(tmp_path / "moved")
    assert sc.extract(moved, out=out, store=store).files_reused == 4
    assert [line["audio"] for line in manifest(out)] == [str(moved / f"{name}.wav") for name in NAMES]


def test_other_inputs_into_the_same_folder_leave_what_is_there(corpus: Path, out: Path) -> None:
    bad = corpus / "bad.wav"
    bad.write_bytes(b"")
    sc.extract([corpus / "a.wav", bad], out=out)
    summary = sc.extract([corpus / "b.wav", corpus / "c.wav"], out=out)
    assert (summary.files_ok, summary.files_reused) == (2, 0)
    assert ids(out) == ["a", "b", "c"]
    assert [line["id"] for line in errors(out)] == ["bad"]
    check_truth(out)
