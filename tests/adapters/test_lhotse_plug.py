"""Our pipelines as lhotse's feature extractor: lhotse's own rules, datasets and storage are the judge."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lhotse import CutSet, Fbank, FbankConfig, FeatureExtractor, Recording, SupervisionSegment
from lhotse.dataset import K2SpeechRecognitionDataset, OnTheFlyFeatures, PrecomputedFeatures
from lhotse.features.base import create_default_feature_extractor
from lhotse.utils import LOG_EPSILON, compute_num_frames_from_samples
from torch import Tensor
from torch.nn.functional import pad

import speechconv as sc
from speechconv.adapters.lhotse import Extractor, ExtractorConfig, ZeroPadded, zeros_behind
from tests.adapters.models import off
from tests.sounds import noise, s16, wav_bytes

RULES: dict[str, tuple[str, dict[str, Any]]] = {
    "padded": ("kaldi-fbank", {"mel.n_mels": 4}),
    "as they are": ("kaldi-fbank", {"mel.n_mels": 4, "kaldi_stft.snip_edges": False}),
    "one too many": ("logmel", {"mel.n_mels": 4}),
    "one too many, mirrored": ("torchaudio-mel", {"mel.n_mels": 4}),
    "statistics": ("nemo-mel", {"mel.n_mels": 4, "cmvn.channels": 4}),
    "statistics, stacked": ("seamless-fbank", {"mel.n_mels": 4, "cmvn.channels": 4}),
}


def extractor(rule: str = "one too many") -> Extractor:
    return Extractor(ExtractorConfig(*RULES[rule], random_weights=0))


def encoder(folder: Path) -> Path:
    """A small wav2vec 2.0 encoder with GELU, trained, so to say."""
    path = folder / "encoder.safetensors"
    pipe = sc.Pipeline([sc.FeatureEncoder(channels=3, norm="layer", bias=True)], sample_rate=16000)
    pipe.save(path)
    return path


def cuts(*lengths: int) -> Any:
    """Noise in memory, of these samples, each with a text."""
    made = []
    for i, samples in enumerate(lengths):
        sound = wav_bytes(s16(noise(samples, seed=i)))
        cut = Recording.from_bytes(sound, f"noise-{i}").to_cut()
        cut.supervisions = [SupervisionSegment(f"text-{i}", cut.recording_id, 0, cut.duration, text="noise")]
        made.append(cut)
    return CutSet.from_cuts(made)


def expected_frames(e: Extractor, samples: int) -> int:
    return compute_num_frames_from_samples(samples, e.frame_shift, 16000)


# The number of frames


def test_frames_of_a_signal_are_lhotses_for_every_length() -> None:
    e = extractor()
    lengths = range(e.pipe.geometry.receptive_field + 2001)
    silence = np.zeros((1, lengths[-1]), np.float32)
    assert [len(e.extract(silence[:, :n], 16000)) for n in lengths] == [expected_frames(e, n) for n in lengths]


@pytest.mark.parametrize("rule", RULES)
def test_frames_of_the_rows_of_a_batch_are_lhotses_for_every_length(rule: str) -> None:
    e = extractor(rule)
    lengths = range(e.pipe.geometry.receptive_field + 2001)
    batch = e.extract_batch(torch.zeros(len(lengths), lengths[-1]), 16000, torch.tensor(lengths))
    assert [len(row) for row in batch] == [expected_frames(e, n) for n in lengths]


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=3))
def test_zeros_fit_any_receptive_field_and_stride(shape: list[tuple[int, int]]) -> None:
    """Strides above the receptive field among them."""
    kernel_sizes, strides = zip(*shape, strict=True)
    encoder = sc.FeatureEncoder(channels=1, kernel_sizes=kernel_sizes, strides=strides, norm="layer")
    pipe = sc.Pipeline([encoder], sample_rate=8000)
    zeros = zeros_behind(pipe)
    for samples in range(300):
        expected = compute_num_frames_from_samples(samples, pipe.hop_length / 8000, 8000)
        assert 0 <= pipe.output_lengths(samples + zeros) - expected <= (zeros == 0)


@pytest.mark.parametrize("rule", ["padded", "as they are", "one too many", "one too many, mirrored"])
def test_the_pipelines_own_frames_stay_as_they_are(rule: str) -> None:
    e = extractor(rule)
    for samples in (1, 3000, 3099):
        wav = torch.randn(1, samples)
        ours, own = e.extract(wav, 16000), e.pipe(wav)[0].detach()
        common = min(len(ours), len(own))
        assert len(own) - common <= 1
        assert torch.allclose(ours[:common], own[:common], atol=1e-5)


@pytest.mark.parametrize("rule", RULES)
def test_frames_are_the_pipelines_on_the_signal_with_zeros_behind_it(rule: str) -> None:
    """Statistics of the utterance included."""
    e = extractor(rule)
    wav = torch.randn(1, 3000)
    expected = e.pipe(pad(wav, (0, zeros_behind(e.pipe))))[0, : expected_frames(e, 3000)]
    assert torch.equal(e.extract(wav, 16000), expected)


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # lhotse's own mel bands
def test_kaldi_fbank_equals_lhotses_own() -> None:
    """Which mirrors the signal at its ends, and has its floor at 1.19e-7 for samples of -1 ... 1."""
    config = ExtractorConfig("kaldi-fbank", {"kaldi_stft": {"snip_edges": False, "scale": 1.0}, "mel.f_max": 7600.0})
    theirs = Fbank(FbankConfig(dither=0.0))
    samples = noise(16000).T.astype(np.float32)
    ours, expected = (torch.from_numpy(e.extract(samples, 16000)).exp() for e in (Extractor(config), theirs))
    assert off(ours, expected) <= 1e-5


# Batches


@pytest.mark.parametrize("rule", RULES)
def test_a_row_of_a_padded_batch_is_the_row_alone_and_its_padding_may_hold_anything(rule: str) -> None:
    e = extractor(rule)
    lengths = torch.tensor([4000, 0, 90, 2601, 1500])
    wav = torch.randn(5, 4000)
    wav[torch.arange(4000) >= lengths[:, None]] = torch.nan
    for row, length, features in zip(wav, lengths, e.extract_batch(wav, e.pipe.sample_rate, lengths), strict=True):
        alone = e.extract(row[:length], 16000)
        assert len(alone) == expected_frames(e, int(length))
        assert torch.allclose(features, alone, atol=1e-4)  # float32, behind a logarithm


@pytest.mark.parametrize("kind", ["array", "row", "rows", "tensor", "one", "list", "equal", "tensors"])
def test_a_batch_is_wrapped_as_lhotses_base_class_wraps_it(kind: str) -> None:
    long, short = np.random.randn(1, 1600).astype(np.float32), np.random.randn(1, 800).astype(np.float32)
    samples = {
        "array": long[0],
        "row": long,
        "rows": np.concatenate((long, long)),
        "tensor": torch.from_numpy(long),
        "one": [long],
        "list": [long, short],
        "equal": [long, long],
        "tensors": [torch.from_numpy(long), torch.from_numpy(short)],
    }[kind]
    e = extractor()
    ours, theirs = e.extract_batch(samples, 16000), FeatureExtractor.extract_batch(e, samples, 16000)
    assert type(ours) is type(theirs)
    for row, expected in zip(ours, theirs, strict=True):
        assert type(row) is type(expected)
        assert row.shape == expected.shape
        assert np.allclose(row, expected, atol=1e-4)


# In lhotse


def test_features_of_cuts_are_computed_stored_and_read_back(tmp_path: Path) -> None:
    e = Extractor(ExtractorConfig(str(encoder(tmp_path))))
    made = cuts(16000, 5000, 160).compute_and_store_features(e, tmp_path / "features")
    for cut in made:
        assert cut.features.type == "speechconv"
        assert np.array_equal(cut.load_features(), e.extract(cut.load_audio(), 16000))
    cut = made[0].truncate(duration=0.5)
    assert cut.load_features().shape == (cut.num_frames, 3) == (25, 3)


def test_lhotses_workers_and_batches_give_the_same_features(tmp_path: Path) -> None:
    e = extractor("padded")
    signals = cuts(16000, 8000, 5000, 2000)
    one = signals.compute_and_store_features(e, tmp_path / "one")
    two = signals.compute_and_store_features(e, tmp_path / "two", num_jobs=2)
    batch = signals.compute_and_store_features_batch(e, tmp_path / "batch", num_workers=0, collate=True)
    for made in (two, batch):
        features = {cut.id: cut.load_features() for cut in made}
        assert features.keys() == {cut.id for cut in one}
        for cut in one:
            assert np.allclose(cut.load_features(), features[cut.id], atol=1e-4)


def test_an_extractor_survives_yaml_and_pickle(tmp_path: Path) -> None:
    e = Extractor(ExtractorConfig("wavenet-encoder", {"wavenet_encoder.channels": 3}, random_weights=7))
    e.to_yaml(tmp_path / "config.yml")
    wav = torch.randn(1, 4000)
    expected = e.extract(wav, 16000)
    twins = [FeatureExtractor.from_yaml(tmp_path / "config.yml"), pickle.loads(pickle.dumps(e))]
    for twin in twins:
        assert isinstance(twin, Extractor)
        assert twin.to_dict() == e.to_dict()
        assert torch.equal(twin.extract(wav, 16000), expected)


def test_a_pipeline_that_was_saved_in_bfloat16_gives_float32(tmp_path: Path) -> None:
    sc.Pipeline.load(encoder(tmp_path)).bfloat16().save(tmp_path / "half.safetensors")
    e = Extractor(ExtractorConfig(str(tmp_path / "half.safetensors")))
    assert e.extract(noise(4000).T, 16000).dtype == np.float32


def test_lhotse_makes_one_by_name() -> None:
    e = create_default_feature_extractor("speechconv")
    assert isinstance(e, Extractor)
    assert (e.feature_dim(16000), e.frame_shift, e.device) == (80, 0.01, "cpu")


def test_lhotses_command_line_extracts_where_the_module_is_imported(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav_bytes(s16(noise(4000))))
    recordings, config = tmp_path / "recordings.jsonl", tmp_path / "config.yml"
    recordings.write_text(json.dumps(Recording.from_file(tmp_path / "a.wav").to_dict()) + "\n")
    extractor().to_yaml(config)
    lhotse = "import sys, speechconv.adapters.lhotse; from lhotse.bin.modes import cli; cli(sys.argv[1:])"
    arguments = ["feat", "extract", "-f", str(config), str(recordings), str(tmp_path)]
    subprocess.run([sys.executable, "-W", "ignore", "-c", lhotse, *arguments], check=True, capture_output=True)
    (path,) = (tmp_path / "storage").glob("*/*.npy")
    assert np.load(path).shape == (25, 4)


def batch_of(strategy: Any, signals: CutSet) -> tuple[Tensor, Tensor]:
    batch: Any = K2SpeechRecognitionDataset(input_strategy=strategy)[signals]
    return batch["inputs"], batch["supervisions"]["num_frames"]


def test_lhotse_pads_batches_with_log_epsilon_and_zero_padded_with_zeros(tmp_path: Path) -> None:
    e = Extractor(ExtractorConfig(str(encoder(tmp_path))))
    signals = cuts(8000, 3000)
    rows = [e.extract(torch.from_numpy(cut.load_audio()), 16000) for cut in signals]
    for kind, padding in ((OnTheFlyFeatures, LOG_EPSILON), (ZeroPadded, 0.0)):
        inputs, lengths = batch_of(kind(e), signals)
        assert lengths.tolist() == [25, 9]
        assert (inputs[1, 9:] == padding).all()
        for row, features in zip(rows, inputs, strict=True):
            assert torch.allclose(features[: len(row)], row, atol=1e-5)


def test_zero_padded_hands_on_whatever_lhotses_own_gives() -> None:
    e = extractor()
    signals = cuts(8000, 3000)
    ours: Any = ZeroPadded(e, return_audio=True, fault_tolerant=True)(signals)
    theirs: Any = OnTheFlyFeatures(e, return_audio=True, fault_tolerant=True)(signals)
    assert len(ours) == len(theirs) == 5
    for got, expected in zip(ours[1:4], theirs[1:4], strict=True):
        assert torch.equal(got, expected)


def test_stored_features_are_padded_with_zeros_when_the_cuts_say_so(tmp_path: Path) -> None:
    e = Extractor(ExtractorConfig(str(encoder(tmp_path))))
    stored = cuts(8000, 3000).compute_and_store_features(e, tmp_path / "features")
    assert (batch_of(PrecomputedFeatures(), stored)[0][1, 9:] == LOG_EPSILON).all()
    assert (batch_of(PrecomputedFeatures(), stored.pad(pad_feat_value=0.0))[0][1, 9:] == 0).all()


# Refusals


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (("whisper",), r"lhotse expects \(samples \+ 80\) // 160 frames, and MinimumLength \(stage 'minimum_length'\)"),
        (("torchaudio-mel", {"stft.drop_last": True}), r"100 samples are missing at the end; zeros there would be"),
        (("wav2vec2-base",), r"features would be noise; load trained ones, or give random_weights"),
        (("stft",), r"the encoder gives complex frames, which no toolkit takes"),
        (("logmle",), r"unknown preset 'logmle' in speechconv; did you mean 'logmel'\?"),
        (("logmel", {"mel.n_mel": 4}), r"did you mean 'n_mels'\?"),
    ],
)
@pytest.mark.filterwarnings("ignore:4 of 128 mel bands:UserWarning")  # torchaudio's, and ours as it is torchaudio's
def test_a_pipeline_that_cannot_keep_lhotses_rule_is_refused(config: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Extractor(ExtractorConfig(*config))


def test_cuts_of_another_rate_are_refused_and_resampled_ones_taken(tmp_path: Path) -> None:
    e = Extractor(ExtractorConfig("logmel", {"sample_rate": 8000}))
    signals = cuts(16000)
    with pytest.raises(ValueError, match=r"logmel is for 8000 Hz, got 16000 Hz; cuts.resample\(8000\) makes cuts"):
        signals.compute_and_store_features(e, tmp_path)
    made = signals.resample(8000).compute_and_store_features(e, tmp_path)
    assert made[0].load_features().shape == (50, 80)


def test_several_channels_are_refused_and_single_ones_taken() -> None:
    e = extractor()
    stereo: Any = Recording.from_bytes(wav_bytes(s16(noise(4000, 2)), channels=2), "stereo").to_cut()
    with pytest.raises(ValueError, match=r"expected one channel, .* got \(2, 4000\); lhotse's cut.to_mono"):
        e.extract(stereo.load_audio(), 16000)
    for mono in stereo.to_mono():
        assert e.extract(mono.load_audio(), 16000).shape == (25, 4)


def test_integer_samples_are_refused() -> None:
    with pytest.raises(TypeError, match=r"expected floating samples, got torch.int16; int16: samples / 32768"):
        extractor().extract(np.zeros(16000, np.int16), 16000)


def test_what_lhotse_itself_refuses(tmp_path: Path) -> None:
    e = extractor()
    cuts(80).compute_and_store_features(e, tmp_path)
    with pytest.raises(AssertionError, match="num_frames has to be greater than 0"):
        cuts(79).compute_and_store_features(e, tmp_path)
    stored = cuts(8000, 8000).compute_and_store_features(e, tmp_path)
    with pytest.raises(ValueError, match='"compute_energy" operation is undefined'):
        stored[0].mix(stored[1], snr=10).load_features()
