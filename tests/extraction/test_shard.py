"""--shard i/n: each input is in one part, whatever the others are; all parts merged are the run in one piece."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import speechconv as sc
from speechconv.extraction.shard import Shard, parse_shard
from tests.extraction.runs import features, manifest

SLURM = {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_COUNT": "3"}


def test_a_part_is_named_by_its_number_from_0_and_the_count() -> None:
    assert parse_shard("3/8") == Shard(3, 8)
    assert parse_shard("0/1") == Shard(0, 1)


@pytest.mark.parametrize("text", ["", "3", "3/", "/8", "-1/8", "3/8/1", "a/b", "3 / 8", "1.0/2", "AUTO"])
def test_what_names_no_part_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be I/N, counted from 0, such as 0/8, or 'auto'"):
        parse_shard(text)


@pytest.mark.parametrize("text", ["8/8", "9/8", "0/0"])
def test_a_part_beyond_the_count_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"{text}.* must be I/N with 0 <= I < N"):
        parse_shard(text)


AUTO: list[tuple[dict[str, str], Shard]] = [
    (SLURM | {"SLURM_ARRAY_TASK_STEP": "3"}, Shard(2, 3)),  # --array=1-9:3 has the tasks 1, 4 and 7
    (SLURM | {"SLURM_ARRAY_TASK_ID": "1"}, Shard(0, 3)),
    ({"SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_TASK_COUNT": "3"}, Shard(2, 3)),
    ({"RANK": "5", "WORLD_SIZE": "16"}, Shard(5, 16)),
    (SLURM | {"SLURM_ARRAY_TASK_ID": "2", "RANK": "0", "WORLD_SIZE": "1"}, Shard(1, 3)),
]


@pytest.mark.parametrize(("environment", "shard"), AUTO)
def test_auto_takes_the_part_from_slurm_or_torchrun(environment: dict[str, str], shard: Shard) -> None:
    assert parse_shard("auto", environment) == shard


@pytest.mark.parametrize("environment", [{}, {"SLURM_ARRAY_TASK_ID": "1"}, {"RANK": "1"}, {"SLURM_PROCID": "0"}])
def test_auto_without_anything_to_tell_it_is_refused(environment: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"found neither SLURM_ARRAY_TASK_ID .* nor RANK and WORLD_SIZE"):
        parse_shard("auto", environment)


def test_an_array_with_gaps_is_refused_rather_than_done_in_part() -> None:
    """--array=1,2,9: its numbers do not tell which part 9 is."""
    with pytest.raises(ValueError, match="0 <= I < N"):
        parse_shard("auto", SLURM | {"SLURM_ARRAY_TASK_ID": "9", "SLURM_ARRAY_TASK_STEP": "1"})


def test_the_environment_is_never_read_unasked(
    audio_samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**SLURM, "SLURM_ARRAY_TASK_STEP": "3", "RANK": "1", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert sc.extract(audio_samples / "signals", out=tmp_path / "all").files_ok == 8
    part = sc.extract(audio_samples / "signals", out=tmp_path / "asked", shard="auto")
    assert part.files_ok < 8
    assert [path.name for path in (tmp_path / "asked").iterdir()] == ["shard-0002-of-0003"]


def test_every_id_is_in_one_part_and_the_parts_are_about_equal() -> None:
    ids = [f"speaker{number % 40}/utterance-{number}" for number in range(8000)]
    shards = [Shard(number, 8) for number in range(8)]
    found = {id: [shard.number for shard in shards if shard.holds(id)] for id in ids}
    assert {len(parts) for parts in found.values()} == {1}
    counts = Counter(parts[0] for parts in found.values())
    assert len(counts) == 8
    assert min(counts.values()) > 850  # 1000 each, with a deviation of 30


def test_names_that_are_not_utf8_are_in_a_part_too() -> None:
    assert sum(Shard(number, 3).holds("b\udcff") for number in range(3)) == 1


def test_an_inputs_part_does_not_depend_on_the_others(audio_samples: Path, tmp_path: Path) -> None:
    sounds = sorted((audio_samples / "signals").iterdir())

    def parts(name: str, inputs: list[Path]) -> dict[str, str]:
        for number in range(2):
            sc.extract(inputs, out=tmp_path / name, shard=f"{number}/2")
        return {line["id"]: shard.name for shard in (tmp_path / name).iterdir() for line in manifest(shard)}

    whole = parts("whole", sounds)
    fewer = parts("fewer", sounds[1::2])
    assert len(whole) == 2 * len(fewer) == 8
    assert fewer == {id: whole[id] for id in fewer}


@pytest.mark.parametrize("store", ["npy", "tar"])
def test_all_parts_merged_are_the_run_in_one_piece(audio_samples: Path, tmp_path: Path, store: str) -> None:
    sc.extract(audio_samples, out=tmp_path / "whole")
    out = tmp_path / "parts"
    done = [sc.extract(audio_samples, out=out, store=store, shard=f"{number}/3") for number in (2, 0, 1)]
    assert all(0 < summary.files_ok < 26 for summary in done)
    assert sc.extract(audio_samples, out=out, store=store, shard="1/3").files_reused == done[2].files_ok
    assert sc.merge_shards(out).files_ok == 26
    expected = {line["id"]: line["sha256"] for line in manifest(tmp_path / "whole")}
    assert {line["id"]: line["sha256"] for line in manifest(out)} == expected
    assert len(manifest(out)) == 26
    whole = features(tmp_path / "whole")
    with sc.FeatureReader(out) as reader:
        for id in reader.ids:
            assert np.asarray(reader.numpy(id)).tobytes() == whole[f"{id}.npy"][128:]
