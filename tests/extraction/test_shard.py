"""Parts of a run: each input in exactly one, whatever the others are; merged, they are the whole."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile

import speechconv as sc
from speechconv.extraction.shard import Shard, parse_shard
from tests.extraction.runs import manifest, run_json
from tests.sounds import noise

SLURM = {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_COUNT": "4"}


@pytest.mark.parametrize(
    ("text", "environment", "shard"),
    [
        ("3/8", {}, Shard(3, 8)),
        ("auto", SLURM | {"SLURM_ARRAY_TASK_STEP": "2"}, Shard(3, 4)),
        ("auto", {"RANK": "1", "WORLD_SIZE": "2"}, Shard(1, 2)),
    ],
)
def test_a_part_is_told_or_taken_from_the_environment(text: str, environment: dict[str, str], shard: Shard) -> None:
    assert parse_shard(text, environment) == shard


@pytest.mark.parametrize("text", ["8/8", "-1/8", "1", "a/b", "1/0", "auto"])
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="shard"):
        parse_shard(text, {})


def test_each_id_is_in_one_part_and_parts_are_about_equal() -> None:
    counts = [sum(Shard(part, 4).holds(f"utt {number}") for number in range(4000)) for part in range(4)]
    assert sum(counts) == 4000
    assert min(counts) > 900


def test_parts_merge_to_the_run_of_all_and_the_environment_is_not_read_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(9):
        soundfile.write(tmp_path / f"{number}.wav", noise(1600 + 100 * number), 16000)
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    sc.extract(tmp_path, out=tmp_path / "whole")
    assert len(manifest(tmp_path / "whole")) == 9
    out = tmp_path / "out"
    found = 0
    for part in range(3):
        found += sc.extract(sorted(tmp_path.glob("*.wav")), out=out, shard=f"{part}/3", store="safetensors").files_ok
        assert run_json(out / f"shard-000{part}-of-0003")["shard"] == f"{part}/3"
    assert found == 9
    merged = sc.merge_shards(out)
    assert merged.status == "finished"
    expected = {line["id"]: line["sha256"] for line in manifest(tmp_path / "whole")}
    assert {line["id"]: line["sha256"] for line in manifest(out)} == expected
    reader = sc.FeatureReader(out)
    assert {id: len(reader[id]) for id in reader.ids} == {line["id"]: line["frames"] for line in manifest(out)}
