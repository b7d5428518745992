"""The same call again goes on from what is there: nothing twice, nothing stale, nothing lost."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import soundfile
from numpy.typing import NDArray
from torch import Tensor

import speechconv as sc
from speechconv.extraction.lock import LOCK, only_run_in
from speechconv.extraction.resume import SPOOL
from tests.extraction.runs import check_truth, errors, features, json_lines, manifest, temporaries, without_seconds
from tests.sounds import noise

NAMES = ("a", "b", "c", "d")


def write(path: Path, samples: NDArray) -> None:
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, samples, 16000)


def times(out: Path) -> dict[str, int]:
    """When each feature file was written."""
    return {path.stem: path.stat().st_mtime_ns for path in out.rglob("*.npy")}


def ids(out: Path) -> list[str]:
    return [line["id"] for line in manifest(out)]


def sums(out: Path) -> dict[str, str]:
    return {line["id"]: line["sha256"] for line in manifest(out)}


def fresh(corpus: Path, out: Path, **options: Any) -> dict[str, str]:
    """What a run from nothing gives; the judge of one that goes on."""
    sc.extract(corpus, out=out, **options)
    return sums(out)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """a.wav ... d.wav, 0.4 to 0.1 s."""
    for number, name in enumerate(NAMES):
        write(tmp_path / "corpus" / f"{name}.wav", noise(1600 * (4 - number), seed=number))
    return tmp_path / "corpus"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


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


OTHERS: list[tuple[dict[str, Any], str]] = [
    ({"overrides": {"mel.n_mels": 40}}, "pipeline: 'n_mels = 80' -> 'n_mels = 40'"),
    ({"channel": 0}, "channel: 'mix' -> '0'"),
    ({"dtype": "float16"}, "dtype: 'float32' -> 'float16'"),
    ({"resample": "error"}, "resample: 'auto' -> 'error'"),
    ({"precision": "float64"}, "precision: 'float32' -> 'float64'"),
    ({"batch": 4}, "batch: '1' -> '4'"),
]


@pytest.mark.parametrize(("options", "words"), OTHERS, ids=[words.split(":")[0] for _, words in OTHERS])
def test_another_recipe_is_refused_by_the_name_of_what_changed(
    corpus: Path, out: Path, options: dict[str, Any], words: str
) -> None:
    sc.extract(corpus, out=out)
    before = {path: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(ValueError, match="another recipe") as raised:
        sc.extract(corpus, out=out, **options)
    assert words in str(raised.value)
    assert {path: path.read_bytes() for path in out.iterdir()} == before


def test_other_statistics_are_another_recipe(corpus: Path, out: Path, tmp_path: Path) -> None:
    sc.extract(corpus, out=tmp_path / "plain")
    for number in (1, 2):
        some = [corpus / f"{name}.wav" for name in NAMES[:number]]
        sc.extract(some, out=tmp_path / f"some{number}")
        sc.feature_statistics(tmp_path / f"some{number}").save(tmp_path / f"cmvn{number}.json")
    sc.extract(corpus, out=out, cmvn=tmp_path / "cmvn1.json")
    assert sc.extract(corpus, out=out, cmvn=tmp_path / "cmvn1.json").files_reused == 4
    with pytest.raises(ValueError, match=r"another recipe \((pipeline|weights)"):
        sc.extract(corpus, out=out, cmvn=tmp_path / "cmvn2.json")


def test_another_seed_is_another_recipe(corpus: Path, out: Path, tmp_path: Path) -> None:
    toml = '[[stages]]\nstage = "stft"\noutput = "power"\n[[stages]]\nstage = "linear"\nin_features = 201\n'
    (tmp_path / "random.toml").write_text(f"sample_rate = 16000\n{toml}out_features = 4\n")
    sc.extract(corpus, tmp_path / "random.toml", out=out, random_weights=1)
    assert sc.extract(corpus, tmp_path / "random.toml", out=out, random_weights=1).files_reused == 4
    with pytest.raises(ValueError, match=r"another recipe \(weights\)"):
        sc.extract(corpus, tmp_path / "random.toml", out=out, random_weights=2)


@pytest.mark.parametrize("store", ["npy", "tar"])
def test_overwrite_replaces_another_recipe(corpus: Path, out: Path, tmp_path: Path, store: str) -> None:
    forty = {"mel.n_mels": 40}
    sc.extract(corpus, out=out, store=store)
    assert sc.extract(corpus, out=out, store=store, overrides=forty, overwrite=True).files_reused == 0
    assert sums(out) == fresh(corpus, tmp_path / "fresh", overrides=forty)


def test_resume_mixed_keeps_both_recipes(corpus: Path, out: Path) -> None:
    sc.extract(corpus / "a.wav", out=out)
    summary = sc.extract(corpus, out=out, overrides={"mel.n_mels": 40}, resume_mixed=True)
    assert (summary.files_ok, summary.files_reused) == (4, 1)
    assert [line["channels"] for line in manifest(out)] == [80, 40, 40, 40]
    assert len({line["recipe"] for line in manifest(out)}) == 2
    check_truth(out)


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


def test_new_inputs_are_added_in_the_order_of_the_inputs(corpus: Path, out: Path, tmp_path: Path) -> None:
    sc.extract([corpus / "d.wav", corpus / "b.wav"], out=out)
    assert ids(out) == ["d", "b"]
    write(corpus / "bb.wav", noise(800))
    assert sc.extract(corpus, out=out).files_reused == 2
    assert ids(out) == ["a", "b", "bb", "c", "d"]
    sc.extract(corpus, out=tmp_path / "fresh")
    assert without_seconds(manifest(out))[2] == without_seconds(manifest(tmp_path / "fresh"))[2]


# Stores with many in a file


@pytest.fixture
def packed(corpus: Path, out: Path) -> Path:
    """A tar store of two shards: a and b, c and d."""
    sc.extract(corpus, out=out, store="tar", shard_bytes=24_000)
    assert [line["path"][-5] for line in manifest(out)] == list("0011")
    return out


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


@pytest.mark.usefixtures("forked_workers")
def test_a_packed_store_is_not_made_twice(corpus: Path, packed: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in packed.glob("features-*")}
    assert sc.extract(corpus, out=packed, store="tar", jobs=2).files_reused == 4
    assert {path.name: path.stat().st_mtime_ns for path in packed.glob("features-*")} == before


def test_check_tells_the_features_of_an_input_that_changed(corpus: Path, packed: Path, tmp_path: Path) -> None:
    write(corpus / "b.wav", noise(900))
    sc.extract(corpus, out=packed, store="tar")
    assert [(problem.kind, problem.name) for problem in sc.check(packed).problems] == [
        ("stray", "features-000000.tar b")
    ]
    sc.convert(packed, tmp_path / "clean", store="tar")
    assert sc.check(tmp_path / "clean").good


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


def test_a_torn_line_of_a_packed_store_is_done_again(corpus: Path, packed: Path, tmp_path: Path) -> None:
    data = (packed / "manifest.jsonl").read_bytes()
    (packed / "manifest.jsonl").write_bytes(data[:-30])
    assert sc.extract(corpus, out=packed, store="tar").files_reused == 3
    assert_good_as_new(corpus, packed, tmp_path)


def test_a_shard_that_is_gone_is_made_again(corpus: Path, packed: Path, tmp_path: Path) -> None:
    (packed / "features-000000.tar").unlink()
    assert sc.extract(corpus, out=packed, store="tar").files_reused == 2
    assert_good_as_new(corpus, packed, tmp_path)


def test_another_store_is_refused(corpus: Path, packed: Path) -> None:
    before = (packed / "manifest.jsonl").read_bytes()
    with pytest.raises(ValueError, match=r"is a tar store, not npy; go on with .*--store tar"):
        sc.extract(corpus, out=packed)
    assert (packed / "manifest.jsonl").read_bytes() == before


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


def test_what_another_recipe_left_in_the_spool_is_not_packed(corpus: Path, out: Path, tmp_path: Path) -> None:
    sc.extract(corpus / "a.wav", out=out, store="tar")
    sc.extract(corpus, out=tmp_path / "other", overrides={"mel.n_mels": 20})
    shutil.copytree(tmp_path / "other", out / SPOOL)
    assert sc.extract(corpus, out=out, store="tar").files_reused == 1
    assert {line["channels"] for line in manifest(out)} == {80}
    assert sc.check(out).good


@pytest.mark.parametrize(("before", "now"), [("kaldi", "npy"), ("npy", "hdf5"), ("tar", "safetensors")])
def test_overwrite_leaves_nothing_of_another_store(
    corpus: Path, out: Path, tmp_path: Path, before: str, now: str
) -> None:
    sc.extract(corpus, out=out, store=before)
    sc.extract(corpus, out=out, store=now, overwrite=True)
    sc.extract(corpus, out=tmp_path / "plain", store=now)
    assert sorted(os.listdir(out)) == sorted(os.listdir(tmp_path / "plain"))
    assert sc.check(out).good


class Louder(sc.Layer):
    """A stage of one's own."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = gain

    def valid(self, x: Tensor) -> Tensor:
        return self.gain * x


def test_numbers_in_a_stage_of_ones_own_are_ingredients(corpus: Path, out: Path) -> None:
    def louder(gain: float) -> sc.Pipeline:
        return sc.Pipeline([sc.ConvSTFT(64, output="power"), Louder(gain)], sample_rate=16000)

    sc.extract(corpus, louder(2.0), out=out)
    assert sc.extract(corpus, louder(2.0), out=out).files_reused == 4
    with pytest.raises(ValueError, match=r"another recipe \(pipeline"):
        sc.extract(corpus, louder(3.0), out=out)


def test_a_lock_whose_owner_has_deleted_it_keeps_nobody_out_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between our opening it and our locking it, its owner ends and another run begins."""
    flock = fcntl.flock
    with contextlib.ExitStack() as stack:

        def meanwhile(descriptor: int, operation: int) -> None:
            monkeypatch.setattr(fcntl, "flock", flock)
            (tmp_path / LOCK).unlink()
            stack.enter_context(only_run_in(tmp_path))
            flock(descriptor, operation)

        monkeypatch.setattr(fcntl, "flock", meanwhile)
        with pytest.raises(ValueError, match="another extract is at work in"), only_run_in(tmp_path):
            pass


def test_two_runs_at_once_in_one_folder_are_refused(corpus: Path, out: Path) -> None:
    with only_run_in(out), pytest.raises(ValueError, match="another extract is at work"):
        sc.extract(corpus, out=out)
    assert not (out / "manifest.jsonl").exists()
    assert sc.extract(corpus, out=out).files_ok == 4


def test_a_manifest_of_another_program_is_refused_and_stays(corpus: Path, out: Path) -> None:
    out.mkdir()
    foreign = json.dumps({"audio_filepath": "a.wav", "text": "hello"}) + "\n"
    (out / "manifest.jsonl").write_text(foreign)
    for overwrite in (False, True):
        with pytest.raises(ValueError, match="not a line that speechconv wrote"):
            sc.extract(corpus, out=out, overwrite=overwrite)
        assert (out / "manifest.jsonl").read_text() == foreign


def test_another_channel_stands_beside_the_first_where_recipes_may_be_mixed(corpus: Path, out: Path) -> None:
    first = sc.extract(corpus, out=out)
    again = sc.extract(corpus, out=out, channel=0, resume_mixed=True)
    assert again.files_reused == again.files_ok == first.files_ok
