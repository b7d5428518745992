"""Another recipe, another store, another program's lines: refused by what differs, mixed or replaced."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

import speechconv as sc
from speechconv.extraction.resume import SPOOL
from tests.extraction.resume.corpus import NAMES, fresh, sums
from tests.extraction.runs import check_truth, manifest

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


def test_another_store_is_refused(corpus: Path, packed: Path) -> None:
    before = (packed / "manifest.jsonl").read_bytes()
    with pytest.raises(ValueError, match=r"is a tar store, not npy; go on with .*--store tar"):
        sc.extract(corpus, out=packed)
    assert (packed / "manifest.jsonl").read_bytes() == before


def test_a_manifest_of_another_program_is_refused_and_stays(corpus: Path, out: Path) -> None:
    out.mkdir()
    foreign = json.dumps({"audio_filepath": "a.wav", "text": "hello"}) + "\n"
    (out / "manifest.jsonl").write_text(foreign)
    for overwrite in (False, True):
        with pytest.raises(ValueError, match="not a line that speechconv wrote"):
            sc.extract(corpus, out=out, overwrite=overwrite)
        assert (out / "manifest.jsonl").read_text() == foreign


@pytest.mark.parametrize("store", ["npy", "tar"])
def test_overwrite_replaces_another_recipe(corpus: Path, out: Path, tmp_path: Path, store: str) -> None:
    forty = {"mel.n_mels": 40}
    sc.extract(corpus, out=out, store=store)
    assert sc.extract(corpus, out=out, store=store, overrides=forty, overwrite=True).files_reused == 0
    assert sums(out) == fresh(corpus, tmp_path / "fresh", overrides=forty)


@pytest.mark.parametrize(("before", "now"), [("kaldi", "npy"), ("npy", "hdf5"), ("tar", "safetensors")])
def test_overwrite_leaves_nothing_of_another_store(
    corpus: Path, out: Path, tmp_path: Path, before: str, now: str
) -> None:
    sc.extract(corpus, out=out, store=before)
    sc.extract(corpus, out=out, store=now, overwrite=True)
    sc.extract(corpus, out=tmp_path / "plain", store=now)
    assert sorted(os.listdir(out)) == sorted(os.listdir(tmp_path / "plain"))
    assert sc.check(out).good


def test_resume_mixed_keeps_both_recipes(corpus: Path, out: Path) -> None:
    sc.extract(corpus / "a.wav", out=out)
    summary = sc.extract(corpus, out=out, overrides={"mel.n_mels": 40}, resume_mixed=True)
    assert (summary.files_ok, summary.files_reused) == (4, 1)
    assert [line["channels"] for line in manifest(out)] == [80, 40, 40, 40]
    assert len({line["recipe"] for line in manifest(out)}) == 2
    check_truth(out)


def test_another_channel_stands_beside_the_first_where_recipes_may_be_mixed(corpus: Path, out: Path) -> None:
    first = sc.extract(corpus, out=out)
    again = sc.extract(corpus, out=out, channel=0, resume_mixed=True)
    assert again.files_reused == again.files_ok == first.files_ok


def test_what_another_recipe_left_in_the_spool_is_not_packed(corpus: Path, out: Path, tmp_path: Path) -> None:
    sc.extract(corpus / "a.wav", out=out, store="tar")
    sc.extract(corpus, out=tmp_path / "other", overrides={"mel.n_mels": 20})
    shutil.copytree(tmp_path / "other", out / SPOOL)
    assert sc.extract(corpus, out=out, store="tar").files_reused == 1
    assert {line["channels"] for line in manifest(out)} == {80}
    assert sc.check(out).good
