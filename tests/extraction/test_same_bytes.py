"""Equal inputs and recipes give equal bytes: whoever works, into whatever store, and whatever is worked on beside."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import speechconv as sc
from speechconv.extraction import worker
from speechconv.extraction.rows import FeatureError, ShortSounds, as_array
from tests.extraction.runs import errors, manifest
from tests.extraction.test_whole_utterance import SMALL
from tests.sounds import noise

STORES = ("npy", "kaldi", "hdf5", "tar", "safetensors", "parquet")
WAV2VEC2: dict[str, Any] = {"overrides": SMALL | {"transformer_norm.channels": 32}, "random_weights": 0}


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Twelve of other lengths, 0.05 to 0.6 s, so that several share each bucket of a batch."""
    folder = tmp_path_factory.mktemp("sounds")
    paths = [folder / f"{number:02}.wav" for number in range(12)]
    for number, path in enumerate(paths):
        soundfile.write(path, noise(800 + 800 * number + 37 * number, seed=number), 16000)
    return paths


@pytest.fixture
def learned() -> sc.Pipeline:
    """A trained STFT, so to speak."""
    pipe = sc.Pipeline([sc.ConvSTFT(256, hop_length=128, learn="free", output="power"), sc.Log()], sample_rate=16000)
    noisy = torch.Generator().manual_seed(0)
    for parameter in pipe.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=noisy)
    return pipe


def sums(inputs: Sequence[Path], out: Path, pipeline: str | sc.Pipeline = "logmel", **options: Any) -> dict[str, str]:
    """sha256 of the features, by the name of the sound."""
    assert sc.extract(inputs, pipeline, out=out, **options).files_failed == 0
    return {Path(line["audio"]).stem: line["sha256"] for line in manifest(out)}


def shuffled(sounds: Sequence[Path], seed: int) -> list[Path]:
    return random.Random(seed).sample(sounds, len(sounds))


@pytest.mark.parametrize(("store", "jobs"), [*((store, 1) for store in STORES), ("npy", 2), ("tar", 2)])
@pytest.mark.usefixtures("forked_workers")
def test_every_store_gives_the_same_bytes_by_any_number_of_jobs(
    sounds: list[Path], tmp_path: Path, store: str, jobs: int
) -> None:
    expected = sums(sounds, tmp_path / "expected")
    assert sums(sounds, tmp_path / "out", store=store, jobs=jobs, shard_bytes=20_000) == expected
    judge = {line["id"]: np.load(tmp_path / "expected" / line["path"]) for line in manifest(tmp_path / "expected")}
    with sc.FeatureReader(tmp_path / "out") as reader:
        assert reader.ids == list(judge)
        assert all(reader.numpy(id).tobytes() == judge[id].tobytes() for id in judge)


def test_an_executor_gives_the_bytes_of_this_process(sounds: list[Path], tmp_path: Path) -> None:
    expected = sums(sounds, tmp_path / "here")
    with ThreadPoolExecutor(2) as executor:
        assert sums(shuffled(sounds, 1), tmp_path / "there", engine=executor) == expected


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("kind", ["logmel", "learned", "wav2vec2"])
def test_neither_order_nor_company_shows(
    sounds: list[Path], learned: sc.Pipeline, tmp_path: Path, kind: str, batch: int
) -> None:
    """In a batch, too: whichever sounds share it, however many."""
    pipeline = {"logmel": "logmel", "learned": learned, "wav2vec2": "wav2vec2-base"}[kind]
    options: dict[str, Any] = {"batch": batch} | (WAV2VEC2 if kind == "wav2vec2" else {})
    expected = sums(sounds, tmp_path / "all", pipeline, **options)
    assert len(set(expected.values())) == len(sounds)
    assert sums(shuffled(sounds, 1), tmp_path / "shuffled", pipeline, **options) == expected
    for part, some in enumerate((sounds[4:5], sounds[3::2], shuffled(sounds[5:], 2))):
        found = sums(some, tmp_path / f"part{part}", pipeline, **options)
        assert found == {sound.stem: expected[sound.stem] for sound in some}


@pytest.mark.usefixtures("forked_workers")
def test_a_batch_in_workers_gives_the_bytes_of_a_batch_here(sounds: list[Path], tmp_path: Path) -> None:
    assert sums(sounds, tmp_path / "1", batch=4) == sums(shuffled(sounds, 3), tmp_path / "2", batch=4, jobs=2)


def test_a_batch_differs_from_single_sounds_by_rounding_only(sounds: list[Path], tmp_path: Path) -> None:
    for batch in (1, 4):
        sums(sounds, tmp_path / str(batch), batch=batch)
    for line in manifest(tmp_path / "1"):
        single, batched = (np.exp(np.load(tmp_path / batch / line["path"])) for batch in ("1", "4"))
        np.testing.assert_allclose(batched, single, rtol=0, atol=1e-5 * single.max())


class Company(sc.Layer):
    """Adds the mean of the whole batch to every row of it: what shares a batch shows."""

    def valid(self, x: torch.Tensor) -> torch.Tensor:
        return x + x.mean(0, keepdim=True)


class Place(sc.Layer):
    """Adds a row's number to it: its place in a batch shows."""

    def valid(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.arange(len(x))[:, None, None]


@pytest.mark.parametrize("layer", [Company, Place])
def test_a_layer_that_mixes_rows_gets_each_sound_alone(
    sounds: list[Path], tmp_path: Path, layer: type[sc.Layer]
) -> None:
    pipe = sc.Pipeline([sc.ConvSTFT(256, hop_length=128, output="power"), layer()], sample_rate=16000)
    expected = sums(sounds, tmp_path / "all", pipe, batch=4)
    assert sums(shuffled(sounds, 1), tmp_path / "shuffled", pipe, batch=4) == expected
    assert sums(sounds[6:7], tmp_path / "one", pipe, batch=4) == {"06": expected["06"]}
    for line in manifest(tmp_path / "all"):
        samples, _ = soundfile.read(line["audio"], dtype="float32")
        alone = pipe(torch.from_numpy(samples)[None])[0].numpy()
        found = np.load(tmp_path / "all" / line["path"])
        np.testing.assert_allclose(found, alone, rtol=0, atol=1e-5 * np.abs(alone).max())


@pytest.mark.parametrize(("kind", "answer"), [("logmel", True), ("learned", True), ("company", False)])
def test_independent_rows_do_go_together(
    sounds: list[Path],
    learned: sc.Pipeline,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    answer: bool,
) -> None:
    """Else the tests of batches above would prove nothing."""
    answers: list[bool] = []
    try_out = ShortSounds._rows_are_independent
    monkeypatch.setattr(
        ShortSounds, "_rows_are_independent", lambda s, size: answers.append(try_out(s, size)) or answer
    )
    company = sc.Pipeline([sc.ConvSTFT(256, hop_length=128, output="power"), Company()], sample_rate=16000)
    pipeline = {"logmel": "logmel", "learned": learned, "company": company}[kind]
    sums(sounds, tmp_path / "out", pipeline, batch=4)
    assert answers == [answer] * 3  # buckets: up to 4096, 8192 and 16384 samples


@pytest.mark.parametrize("kind", ["logmel", "learned"])
def test_block_by_block_equals_at_once(
    sounds: list[Path], learned: sc.Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """1e-5 of scale, of the numbers before the logarithm."""
    pipeline = learned if kind == "learned" else "logmel"
    sums(sounds, tmp_path / "at_once", pipeline)
    monkeypatch.setattr(worker, "SHORT", 1000)
    sums(sounds, tmp_path / "in_blocks", pipeline)
    for line in manifest(tmp_path / "at_once"):
        at_once, in_blocks = (np.exp(np.load(tmp_path / way / line["path"])) for way in ("at_once", "in_blocks"))
        np.testing.assert_allclose(in_blocks, at_once, rtol=0, atol=1e-5 * at_once.max())


@pytest.mark.parametrize("store", ["npy", "hdf5", "tar", "safetensors", "parquet"])
def test_float16_is_float32_cast(sounds: list[Path], tmp_path: Path, store: str) -> None:
    sums(sounds, tmp_path / "wide")
    sums(sounds, tmp_path / "narrow", dtype="float16", store=store)
    with sc.FeatureReader(tmp_path / "wide") as wide, sc.FeatureReader(tmp_path / "narrow") as narrow:
        for id in wide.ids:
            found = narrow.numpy(id)
            assert found.dtype == np.float16
            assert found.tobytes() == wide.numpy(id).astype(np.float16).tobytes()


def test_features_beyond_the_range_of_float16_are_an_error_line(tmp_path: Path) -> None:
    quiet = np.zeros(1600)
    quiet[800:] = 0.9  # its power is up to (0.9 * 512)^2
    soundfile.write(tmp_path / "loud.wav", quiet, 16000)
    soundfile.write(tmp_path / "soft.wav", quiet / 100, 16000)
    pipe = sc.Pipeline([sc.ConvSTFT(1024, hop_length=512, output="power")], sample_rate=16000)
    assert sc.extract(tmp_path, pipe, out=tmp_path / "wide").files_ok == 2
    peak = np.load(tmp_path / "wide" / "loud.npy").max(1)
    assert peak.max() > np.finfo(np.float16).max
    summary = sc.extract(tmp_path / "loud.wav", pipe, out=tmp_path / "out", dtype="float16")
    assert (summary.files_ok, summary.files_failed) == (0, 1)
    (line,) = errors(tmp_path / "out")
    assert (line["stage"], line["error"]) == ("features", "FeatureError")
    frame = int((peak > np.finfo(np.float16).max).argmax())
    assert line["message"] == f"frame {frame} of the features is beyond the range of float16; store float32."
    assert sc.extract(tmp_path / "soft.wav", pipe, out=tmp_path / "soft", dtype="float16").files_ok == 1


def test_threads_that_draw_random_weights_at_once_draw_the_same(sounds: list[Path], tmp_path: Path) -> None:
    options: dict[str, Any] = {"overrides": {"wavenet_encoder.residual_channels": 2}, "random_weights": 0}
    expected = sc.extract(sounds, "wavenet-encoder", out=tmp_path / "one", **options)
    with ThreadPoolExecutor(3) as executor:
        again = sc.extract(sounds, "wavenet-encoder", out=tmp_path / "threads", engine=executor, **options)
    assert again.files_ok == expected.files_ok == len(sounds)
    found = [{line["id"]: line["sha256"] for line in manifest(tmp_path / name)} for name in ("one", "threads")]
    assert found[0] == found[1]


def test_a_sum_beyond_float32_is_no_fault_of_features_within_it() -> None:
    features = torch.full((4, 3), 3e38)
    assert as_array(features, "float32").max() == np.float32(3e38)
    features[2, 1] = -torch.inf
    with pytest.raises(FeatureError, match="frame 2 of the features holds NaN or an infinite value"):
        as_array(features, "float32")
