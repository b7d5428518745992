"""A pipeline with statistics of a corpus behind it: numpy is the judge."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import speechconv as sc
from speechconv.global_cmvn import with_cmvn
from speechconv.stores.statistics import FeatureStatistics
from tests.law import assert_close


def pipeline() -> sc.Pipeline:
    stages = [sc.ConvSTFT(64, hop_length=16, center=False, output="power"), sc.Log()]
    return sc.Pipeline(stages, sample_rate=8000).eval()


@pytest.fixture
def stats(tmp_path: Path) -> Path:
    FeatureStatistics.of(2 * np.random.default_rng(0).standard_normal((500, 33)) - 12).save(tmp_path / "stats.json")
    return tmp_path / "stats.json"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_features_lose_the_mean_and_the_deviation_of_the_corpus(stats: Path, dtype: torch.dtype) -> None:
    given = FeatureStatistics.load(stats)
    pipe, wav = pipeline().to(dtype), torch.randn(1, 2000, dtype=dtype)
    expected = (pipe(wav)[0].double().numpy() - given.mean) / np.sqrt(given.variance + 1e-10)
    found = with_cmvn(pipe, stats)(wav)
    assert found.dtype == dtype
    assert_close(found[0].double(), torch.from_numpy(expected), 2e-6 if dtype == torch.float32 else 1e-13)


def test_it_streams_with_the_offline_answer(stats: Path) -> None:
    pipe = with_cmvn(pipeline().double(), stats)
    assert sc.check_streaming(pipe).worst <= 1e-12


def test_it_is_saved_and_loaded_without_the_file(stats: Path, tmp_path: Path) -> None:
    pipe, wav = with_cmvn(pipeline(), stats), torch.randn(1, 2000)
    pipe.save(tmp_path / "pipe.safetensors")
    stats.unlink()
    assert torch.equal(sc.Pipeline.load(tmp_path / "pipe.safetensors")(wav), pipe(wav))


def test_the_pipeline_itself_stays_as_it_was(stats: Path) -> None:
    pipe, wav = pipeline(), torch.randn(1, 2000)
    before = pipe(wav)
    twin = with_cmvn(pipe, stats)
    assert torch.equal(pipe(wav), before)
    assert len(pipe) == 2
    assert (twin.sample_rate, twin.hop_length, twin.output_dim, twin.training) == (8000, 16, 33, False)


def test_random_weights_stay_known_as_such(stats: Path) -> None:
    text = 'sample_rate = 8000\n[[stages]]\nstage = "feature_encoder"\nchannels = 33\nnorm = "layer"\n'
    drawn = sc.Pipeline.from_toml(text)
    assert with_cmvn(drawn, stats).fresh_random
    assert not with_cmvn(pipeline(), stats).fresh_random


def test_statistics_of_another_number_of_channels_are_refused(stats: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"stats\.json: the statistics are of 33 channels, the frames have 80"):
        with_cmvn(sc.Pipeline.from_preset("logmel"), stats)
    with pytest.raises(ValueError, match="has a stage global_cmvn already"):
        with_cmvn(with_cmvn(pipeline(), stats), stats)
    with pytest.raises(FileNotFoundError, match=r"no file of statistics at .*none\.json"):
        with_cmvn(pipeline(), tmp_path / "none.json")


TOML = """sample_rate = 8000
[[stages]]
stage = "stft"
n_fft = 64
hop_length = 16
center = false
output = "power"
[[stages]]
stage = "log"
[[stages]]
stage = "cmvn"
channels = 33
file = "{file}"
"""


def test_a_stage_takes_the_file_and_keeps_its_numbers(stats: Path, tmp_path: Path) -> None:
    pipe, wav = sc.Pipeline.from_toml(TOML.format(file=stats)), torch.randn(1, 2000)
    assert torch.equal(pipe(wav), with_cmvn(pipeline(), stats)(wav))
    pipe.save(tmp_path / "pipe.safetensors")
    stats.unlink()
    assert "stats.json" not in pipe.to_toml()
    assert torch.equal(sc.Pipeline.load(tmp_path / "pipe.safetensors")(wav), pipe(wav))
    with pytest.raises(FileNotFoundError, match="no file of statistics at"):
        sc.Pipeline.from_toml(TOML.format(file=stats))


def test_a_stage_with_a_file_is_frozen_and_of_its_channels(stats: Path) -> None:
    assert sc.CMVN(33, file=stats).statistics == "frozen"
    assert sc.CMVN(33).statistics == "utterance"
    with pytest.raises(ValueError, match=r"statistics \(='utterance'\) of the utterance need no file"):
        sc.CMVN(33, statistics="utterance", file=stats)
    with pytest.raises(ValueError, match="of 33 channels, the frames have 32"):
        sc.CMVN(32, file=stats)


def test_the_correction_divides_the_variance_by_one_frame_less(stats: Path) -> None:
    given, x = FeatureStatistics.load(stats), torch.randn(1, 5, 33)
    expected = (x.double().numpy() - given.mean) / np.sqrt(given.variance * 500 / 499 + 1e-10)
    assert_close(sc.CMVN(33, correction=1, file=stats)(x).double(), torch.from_numpy(expected), 1e-5)
