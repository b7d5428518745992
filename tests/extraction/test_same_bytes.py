"""An utterance's features have the same bytes whatever works on them, in whatever company, into whatever store."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor, nn

import speechconv as sc
from speechconv.extraction import worker
from speechconv.extraction.rows import ShortSounds
from speechconv.stores.registry import STORES
from tests.extraction.runs import errors, manifest
from tests.sounds import noise

NARROW = {
    "encoder.channels": 8,
    "projection_norm.channels": 8,
    "projection.in_features": 8,
    "projection.out_features": 16,
    "positional.body": [{"stage": "conv_positional_embedding", "channels": 16}],
}
PIPELINES: dict[str, dict[str, Any]] = {
    "fft": {"pipeline": "logmel"},
    "learned": {"pipeline": "logmel", "overrides": {"stft.learn": "delta"}},
    "kaldi": {"pipeline": "kaldi-fbank"},
    "group norm": {
        "pipeline": "wav2vec2-base",
        "overrides": NARROW | {"transformer_norm.channels": 16},
        "random_weights": 0,
    },
    "layer norm": {"pipeline": "wav2vec2-large", "overrides": NARROW, "random_weights": 0},
}


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("sounds")
    lengths = [500, 1600, 3000, 4096, 4100, 5000, 8000, 8100, 16000, 20000, 30000, 31000, 32000]
    for number, length in enumerate(lengths):
        soundfile.write(folder / f"{number:02d}.wav", noise(length), 16000)
    return sorted(folder.iterdir())


def sha256_of(inputs: list[Path], out: Path, **options: Any) -> dict[str, str]:
    sc.extract(inputs, out=out, **options)
    assert errors(out) == []
    return {line["id"]: line["sha256"] for line in manifest(out)}


def shuffled(sounds: list[Path], seed: int) -> list[Path]:
    order = list(sounds)
    random.Random(seed).shuffle(order)
    return order


@pytest.mark.parametrize("name", PIPELINES)
def test_neither_jobs_nor_company_nor_threads_show(sounds: list[Path], tmp_path: Path, name: str) -> None:
    options = PIPELINES[name]
    expected = sha256_of(sounds, tmp_path / "a", **options)
    assert sha256_of(shuffled(sounds, 1), tmp_path / "b", **options) == expected
    assert sha256_of(sounds[3:4], tmp_path / "c", **options) == {"03": expected["03"]}
    with ThreadPoolExecutor(3) as executor:
        assert sha256_of(shuffled(sounds, 2), tmp_path / "d", engine=executor, **options) == expected
    if name in ("fft", "group norm"):
        assert sha256_of(shuffled(sounds, 3), tmp_path / "e", jobs=2, **options) == expected


@pytest.mark.parametrize("store", STORES)
def test_no_store_shows(sounds: list[Path], tmp_path: Path, store: str) -> None:
    expected = sha256_of(sounds, tmp_path / "npy")
    assert sha256_of(sounds, tmp_path / store, store=store) == expected


@pytest.mark.parametrize("name", PIPELINES)
def test_what_shares_a_batch_does_not_show(sounds: list[Path], tmp_path: Path, name: str) -> None:
    options = PIPELINES[name] | {"batch": 4}
    expected = sha256_of(sounds, tmp_path / "a", **options)
    for seed in range(3):
        assert sha256_of(shuffled(sounds, seed), tmp_path / f"b{seed}", **options) == expected
    assert sha256_of(sounds[5:7], tmp_path / "c", **options) == {id: expected[id] for id in ("05", "06")}
    alone = sc.FeatureReader(tmp_path / "a")
    sc.extract(sounds, out=tmp_path / "one", **PIPELINES[name])
    for id, features in sc.FeatureReader(tmp_path / "one").dataset():
        scale = features.abs().max()
        assert (alone[id].exp() - features.exp()).abs().max() <= 1e-5 * scale.exp()  # Log magnifies rounding


class Coupled(nn.Module):
    """Every row sees the others: no batch keeps the bits of one."""

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Any:
        y = (x + x.mean(0, keepdim=True))[:, ::100, None]
        return y if lengths is None else (y, (lengths + 99) // 100)


def test_sounds_go_alone_where_rows_are_not_independent() -> None:
    pipe: Any = Coupled()
    short = ShortSounds(pipe, 4, torch.float32, torch.device("cpu"))
    sounds = [noise(4000)[:, 0].astype(np.float32), noise(3000)[:, 0].astype(np.float32) / 2]
    together = short(sounds)
    assert all(torch.equal(a, short([sound])[0]) for a, sound in zip(together, sounds, strict=True))


@pytest.mark.parametrize("name", PIPELINES)
def test_long_sounds_equal_short_ones(
    sounds: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    sc.extract(sounds, out=tmp_path / "short", **PIPELINES[name])
    monkeypatch.setattr(worker, "SHORT", 400)
    sc.extract(sounds, out=tmp_path / "long", **PIPELINES[name])
    long = sc.FeatureReader(tmp_path / "long")
    for id, features in sc.FeatureReader(tmp_path / "short").dataset():
        assert long[id].shape == features.shape
        assert (long[id] - features).abs().max() <= 1e-5 * features.abs().max() if len(features) else True


def test_float16_is_the_rounded_float32_and_what_it_cannot_hold_is_an_error_line(
    sounds: list[Path], tmp_path: Path
) -> None:
    sc.extract(sounds[:3], out=tmp_path / "half", dtype="float16", store="hdf5")
    half = sc.FeatureReader(tmp_path / "half")
    sc.extract(sounds[:3], out=tmp_path / "single")
    for id, features in sc.FeatureReader(tmp_path / "single").dataset():
        assert torch.equal(half[id], features.half().float())
    soundfile.write(tmp_path / "loud.wav", 1e4 * noise(1600), 16000, subtype="FLOAT")
    power: dict[str, Any] = {"pipeline": "stft", "overrides": {"stft.output": "power"}, "dtype": "float16"}
    assert sc.extract(tmp_path / "loud.wav", out=tmp_path / "loud", **power).files_failed == 1
    assert "beyond the range of float16; store float32" in errors(tmp_path / "loud")[0]["message"]
