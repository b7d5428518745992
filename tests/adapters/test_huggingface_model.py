"""A pipeline as a model of transformers, by its Auto classes and through its folders."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, PreTrainedModel

import speechconv as sc
from speechconv.adapters.huggingface import SpeechconvConfig, SpeechconvFeatureExtractor, SpeechconvModel
from tests.adapters.encoders import gradients, mel_pipeline, ragged
from tests.adapters.models import off
from tests.pipelines import EVERY_STAGE, FAMILY_STAGES, FEATURE_STAGES, WAVEFORM_STAGES, assert_same, noise, trained

PIPELINES = {
    "mel": lambda: trained(mel_pipeline()),
    "every stage": lambda: trained(sc.Pipeline.from_toml(EVERY_STAGE)),
    "waveform stages": lambda: trained(sc.Pipeline.from_toml(WAVEFORM_STAGES)),
    "feature stages": lambda: sc.Pipeline.from_toml(FEATURE_STAGES),
    "family stages": lambda: trained(sc.Pipeline.from_toml(FAMILY_STAGES)),
    "frozen": lambda: trained(sc.Pipeline([sc.FeatureEncoder(channels=4)], sample_rate=16000)).calibrate(noise(2, 900)),
    "without parameters": lambda: sc.Pipeline.from_preset("logmel"),
}


def saved(pipe: sc.Pipeline, folder: Path) -> Path:
    SpeechconvModel.of(pipe).save_pretrained(folder)
    SpeechconvFeatureExtractor(sampling_rate=pipe.sample_rate).save_pretrained(folder)
    return folder


def assert_equal(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape), name
        assert torch.equal(found[name], tensor), name


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection is opened: a folder is all that is read."""

    def refuse(*_: Any) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr("socket.socket.connect", refuse)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_comes_back_from_a_folder_bit_by_bit(name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    pipe = PIPELINES[name]().to(dtype).eval()
    before = torch.get_rng_state()
    saved(pipe, tmp_path)
    model = AutoModel.from_pretrained(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)
    assert isinstance(model, SpeechconvModel)
    assert not model.training
    assert model.dtype == dtype
    assert model.pipeline.to_toml() == pipe.to_toml()
    assert_equal(dict(model.pipeline.named_parameters()), dict(pipe.named_parameters()))
    assert_equal(dict(model.pipeline.named_buffers()), dict(pipe.named_buffers()))  # constants too
    wav = noise(2, 900).to(dtype)
    with torch.no_grad():
        assert torch.equal(model(wav).last_hidden_state, pipe(wav))


def test_auto_classes_know_the_folder(tmp_path: Path) -> None:
    pipe = mel_pipeline()
    saved(pipe, tmp_path)
    config, extractor = AutoConfig.from_pretrained(tmp_path), AutoFeatureExtractor.from_pretrained(tmp_path)
    assert isinstance(config, SpeechconvConfig)
    assert (config.pipeline, config.hidden_size, config.sampling_rate) == (pipe.to_toml(), 6, 8000)
    assert isinstance(extractor, SpeechconvFeatureExtractor)
    assert (extractor.sampling_rate, extractor.do_normalize, extractor.return_attention_mask) == (8000, False, True)


def test_a_folder_is_opened_in_another_process(tmp_path: Path) -> None:
    pipe = trained(mel_pipeline())
    wav = noise(1, 900)
    torch.save(wav, tmp_path / "wav.pt")
    code = (
        "import sys, torch; from speechconv.adapters.huggingface import SpeechconvModel\n"
        "from transformers import AutoModel; folder = sys.argv[1]\n"
        "model = AutoModel.from_pretrained(folder)\n"
        "torch.save(model(torch.load(folder + '/wav.pt')).last_hidden_state.detach(), folder + '/frames.pt')"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code, str(saved(pipe, tmp_path))], check=True)
    with torch.no_grad():
        assert torch.equal(torch.load(tmp_path / "frames.pt"), pipe(wav))


def test_a_batch_goes_from_arrays_to_frames_and_their_mask() -> None:
    pipe = mel_pipeline().eval()
    wav, lengths = ragged(700, 333, 64, 20)
    rows = [row[:length].numpy() for row, length in zip(wav, lengths, strict=True)]
    inputs = SpeechconvFeatureExtractor(sampling_rate=8000)(rows, sampling_rate=8000, padding=True, return_tensors="pt")
    output = SpeechconvModel.of(pipe)(**inputs)
    frames, counts = pipe(wav, lengths)
    assert torch.equal(output.last_hidden_state, frames)
    assert output.attention_mask.sum(1).tolist() == counts.tolist() == [32, 14, 1, 0]
    for row, array, count in zip(output.last_hidden_state, rows, counts, strict=True):
        assert off(row[:count], pipe(torch.from_numpy(array)[None])[0]) <= 1e-5 if count else True


def test_frame_masks_are_exact_for_every_length() -> None:
    pipe = mel_pipeline()
    lengths = torch.arange(2065)
    mask = torch.arange(2064) < lengths[:, None]
    output = SpeechconvModel.of(pipe)(torch.zeros(2065, 2064), mask)
    assert torch.equal(output.attention_mask.sum(1), pipe.output_lengths(lengths))


def test_without_a_mask_there_is_none_and_a_tuple_on_request() -> None:
    pipe, wav = mel_pipeline(), noise(2, 900)
    model = SpeechconvModel.of(pipe)
    assert model(wav).attention_mask is None
    (frames,) = model(wav, return_dict=False)
    assert torch.equal(frames, pipe(wav))
    assert len(model(wav, torch.ones(2, 900), return_dict=False)) == 2


def test_gradients_reach_the_filters_and_the_pipeline_is_the_very_one() -> None:
    pipe = mel_pipeline()
    model = SpeechconvModel.of(pipe)
    model(noise(2, 900), torch.ones(2, 900)).last_hidden_state.sum().backward()
    gradients(pipe)
    assert model.pipeline is pipe


@pytest.mark.parametrize("training", [False, True])
def test_a_model_is_in_the_mode_of_its_pipeline(training: bool) -> None:
    pipe = mel_pipeline().train(training)
    assert SpeechconvModel.of(pipe).training is pipe.training is training


class Tagger(PreTrainedModel):
    """A user's own model around ours."""

    config_class = SpeechconvConfig
    base_model_prefix = "speechconv"

    def __init__(self, config: SpeechconvConfig) -> None:
        super().__init__(config)
        self.speechconv = SpeechconvModel(config)
        self.head = nn.Linear(config.hidden_size or 0, 3)
        self.post_init()


def test_a_model_around_ours_comes_back_with_our_weights_and_constants(tmp_path: Path) -> None:
    pipe = trained(sc.Pipeline.from_toml(EVERY_STAGE))
    tagger = Tagger(SpeechconvConfig(pipeline=pipe.to_toml()))
    tagger.speechconv.pipeline.load_state_dict(pipe.state_dict())
    tagger.save_pretrained(tmp_path)
    again = Tagger.from_pretrained(tmp_path)
    assert_equal(dict(again.named_parameters()), dict(tagger.named_parameters()))
    assert_equal(dict(again.named_buffers()), dict(tagger.named_buffers()))
    wav = noise(2, 900)
    assert off(again.speechconv(wav).last_hidden_state, pipe(wav)) <= 1e-5


def test_a_config_alone_gives_a_pipeline_with_weights_of_its_own() -> None:
    config = SpeechconvConfig(pipeline=sc.Pipeline([sc.FeatureEncoder(channels=4)], sample_rate=16000).to_toml())
    torch.manual_seed(3)
    first = AutoModel.from_config(config)
    torch.manual_seed(3)
    expected = sc.Pipeline.from_toml(config.pipeline)
    assert_same(expected, first.pipeline)
    assert first.pipeline.fresh_random


def test_weights_that_are_not_there_are_an_error(tmp_path: Path) -> None:
    saved(trained(mel_pipeline()), tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights["pipeline.stray"] = weights.pop("pipeline.stft.filter_delta")
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match="the weights do not fit the config's pipeline:") as error:
        AutoModel.from_pretrained(tmp_path)
    assert str(error.value).splitlines()[1:] == [
        "  missing_keys: pipeline.stft.filter_delta",
        "  unexpected_keys: pipeline.stray",
    ]


def test_loading_info_is_given_on_request(tmp_path: Path) -> None:
    model, info = SpeechconvModel.from_pretrained(saved(mel_pipeline(), tmp_path), output_loading_info=True)
    assert isinstance(model, SpeechconvModel)
    assert not info["missing_keys"]


def test_a_toml_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="sample_rate"):
        SpeechconvModel(SpeechconvConfig(pipeline="stages = []"))


def test_padding_before_the_samples_and_another_rate_are_refused() -> None:
    model = SpeechconvModel.of(mel_pipeline())
    with pytest.raises(ValueError, match="pad on the right"):
        model(torch.zeros(1, 300), torch.tensor([[0] * 100 + [1] * 200]))
    with pytest.raises(ValueError, match="sampling rate"):
        SpeechconvFeatureExtractor(sampling_rate=8000)([[0.0]], sampling_rate=16000)
