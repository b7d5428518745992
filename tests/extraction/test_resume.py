"""A run goes on from where another one stopped: what holds is kept, what does not is done again."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import soundfile

import speechconv as sc
from speechconv.extraction.lock import only_run_in
from speechconv.extraction.resume import SPOOL
from tests.extraction.runs import check_truth, errors, json_lines, manifest, run_json
from tests.sounds import noise


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name in "abcd":
        soundfile.write(folder / f"{name}.wav", noise(1600), 16000)
    return folder


def times(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in out.glob("*.npy")}


def test_nothing_is_computed_twice(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    sc.extract(corpus, out=out)
    before, lines = times(out), (out / "manifest.jsonl").read_bytes()
    again = sc.extract(corpus, out=out)
    assert (again.files_ok, again.files_reused, again.audio_seconds) == (4, 4, 0)
    assert (times(out), (out / "manifest.jsonl").read_bytes()) == (before, lines)


def test_what_is_new_changed_or_gone_is_done_and_lines_stay_in_order(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    sc.extract(corpus, out=out)
    soundfile.write(corpus / "b.wav", noise(3200), 16000)
    os.utime(corpus / "c.wav", ns=(1, 1))
    (out / "d.npy").unlink()
    soundfile.write(corpus / "aa.wav", noise(1600), 16000)
    assert sc.extract(corpus, out=out).files_reused == 1
    assert [(line["id"], line["num_samples"]) for line in manifest(out)] == [
        ("a", 1600),
        ("aa", 1600),
        ("b", 3200),
        ("c", 1600),
        ("d", 1600),
    ]
    check_truth(out)


def test_content_tells_what_size_and_time_do_not(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    sc.extract(corpus, out=out, identity="sha256")
    status = os.stat(corpus / "a.wav")
    soundfile.write(corpus / "a.wav", 0.5 * noise(1600), 16000)
    for name in "ab":
        os.utime(corpus / f"{name}.wav", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert sc.extract(corpus, out=out).files_reused == 3  # b has another time now, a has not
    assert sc.extract(corpus, out=out, identity="sha256").files_reused == 2  # c and d: the others tell no content


@pytest.mark.parametrize(
    ("change", "ingredient"),
    [
        ({"overrides": {"mel.n_mels": 20}}, "pipeline"),
        ({"channel": 0}, "channel"),
        ({"dtype": "float16"}, "dtype"),
        ({"precision": "float64"}, "precision"),
        ({"batch": 2}, "batch"),
        ({"pipeline": "stft", "overrides": {"stft.output": "power"}}, "pipeline"),
    ],
)
def test_another_recipe_is_refused_with_what_differs_or_replaces_or_stands_beside(
    corpus: Path, tmp_path: Path, change: dict[str, Any], ingredient: str
) -> None:
    out = tmp_path / "out"
    sc.extract(corpus / "a.wav", out=out)
    before = (out / "manifest.jsonl").read_bytes()
    with pytest.raises(ValueError, match=rf"another recipe \(.*{ingredient}.*--overwrite.*--resume-mixed"):
        sc.extract(corpus, out=out, **change)
    assert (out / "manifest.jsonl").read_bytes() == before
    mixed = sc.extract(corpus, out=out, resume_mixed=True, **change)
    assert (mixed.files_ok, mixed.files_reused) == (4, 1)
    assert len({line["recipe"] for line in manifest(out)}) == 2
    assert sc.extract(corpus, out=out, overwrite=True, **change).files_reused == 0
    assert len({line["recipe"] for line in manifest(out)}) == 1


def test_statistics_and_seeds_are_ingredients_too(corpus: Path, tmp_path: Path) -> None:
    sc.extract(corpus, out=tmp_path / "plain")
    sc.feature_statistics(tmp_path / "plain").save(tmp_path / "cmvn.json")
    with pytest.raises(ValueError, match="another recipe"):
        sc.extract(corpus, out=tmp_path / "plain", cmvn=tmp_path / "cmvn.json")
    narrow: dict[str, Any] = {"overrides": {"wavenet_encoder.residual_channels": 2}}
    sc.extract(corpus, "wavenet-encoder", out=tmp_path / "seed", random_weights=0, **narrow)
    with pytest.raises(ValueError, match=r"another recipe.*weights"):
        sc.extract(corpus, "wavenet-encoder", out=tmp_path / "seed", random_weights=1, **narrow)


def test_errors_are_tried_again_and_their_lines_replaced(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (corpus / "bad.wav").write_bytes(b"")
    (corpus / "worse.wav").write_bytes(b"")
    assert sc.extract(corpus, out=out).exit_status == 3
    assert sc.extract(corpus, out=out).exit_status == 3
    assert [line["id"] for line in errors(out)] == ["bad", "worse"]
    soundfile.write(corpus / "bad.wav", noise(1600), 16000)
    again = sc.extract(corpus, out=out)
    assert (again.files_ok, again.files_reused, again.files_failed) == (5, 4, 1)
    assert [line["id"] for line in errors(out)] == ["worse"]


def test_what_is_left_out_by_its_duration_is_listed_and_looked_at_again(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    soundfile.write(corpus / "long.wav", noise(16000), 16000)
    summary = sc.extract(corpus, out=out, max_duration=0.5)
    assert (summary.files_ok, summary.files_skipped, summary.exit_status) == (4, 1, 0)
    (line,) = json_lines(out / "skipped.jsonl")
    assert (line["id"], line["duration"], line["reason"]) == ("long", 1.0, "longer than 0.5 s")
    assert sc.extract(corpus, out=out, min_duration=0.5).files_ok == 5  # what is there stays
    assert json_lines(out / "skipped.jsonl") == []


def test_torn_last_lines_are_cut_off_and_ids_stay_unique(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (corpus / "bad.wav").write_bytes(b"")
    sc.extract(corpus, out=out)
    for name in ("manifest.jsonl", "errors.jsonl"):
        data = (out / name).read_bytes()
        (out / name).write_bytes(data[:-20])
    assert sc.extract(corpus, out=out).files_reused == 3
    assert [line["id"] for line in manifest(out)] == list("abcd")
    assert [line["id"] for line in errors(out)] == ["bad"]


def test_a_killed_packer_s_spool_and_shards_are_taken_care_of(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    plain = tmp_path / "plain"
    sc.extract(corpus, out=plain)
    sc.extract([corpus / "a.wav", corpus / "b.wav"], out=out, store="tar")
    spool = out / SPOOL
    spool.mkdir()
    for name in "cd":  # as a run leaves them that was killed before their shard was whole
        shutil.copy(plain / f"{name}.npy", spool)
    left = [line for line in manifest(plain) if line["id"] in "cd"]
    (spool / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in left) + '{"id": "torn')
    (out / "features-000001.tar").write_bytes(b"no line names it")
    again = sc.extract(corpus, out=out, store="tar")
    assert (again.files_ok, again.files_reused, again.audio_seconds) == (4, 4, 0)
    assert [line["sha256"] for line in manifest(out)] == [line["sha256"] for line in manifest(plain)]
    assert sc.check(out).good
    assert not spool.exists()


def test_two_runs_in_one_folder_and_another_store_are_refused(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with only_run_in(out), pytest.raises(ValueError, match="another extract is at work in"):
        sc.extract(corpus, out=out)
    sc.extract(corpus, out=out)
    with pytest.raises(ValueError, match=r"is a npy store, not tar.*speechconv convert"):
        sc.extract(corpus, out=out, store="tar")
    assert run_json(out)["store"] == "npy"
