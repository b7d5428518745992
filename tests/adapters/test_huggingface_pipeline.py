"""The pipeline that huggingface.load makes: how it treats the waveform, streams, and is saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import speechconv as sc
from speechconv.adapters import huggingface
from tests.adapters.checkpoints import each_layout, saved, speech, stages
from tests.adapters.models import hidden_states, off, transformers_model

# The waveform


@pytest.mark.parametrize("place", ["preprocessor", "processor", "nowhere"])
@pytest.mark.parametrize("said", [True, False])
@each_layout
def test_normalize_follows_the_preprocessor_and_else_the_layout(
    layout: str, said: bool, place: str, tmp_path: Path
) -> None:
    from transformers import Wav2Vec2FeatureExtractor

    model = transformers_model(layout)
    saved(model, tmp_path)
    extractor = Wav2Vec2FeatureExtractor(do_normalize=said)
    if place == "preprocessor":
        extractor.save_pretrained(tmp_path)
    elif place == "processor":  # as Wav2Vec2Processor.save_pretrained of transformers 5
        content = {"feature_extractor": extractor.to_dict(), "processor_class": "Wav2Vec2Processor"}
        (tmp_path / "processor_config.json").write_text(json.dumps(content))
    wav = 0.003 * torch.randn(2, 3000) + 0.02  # so quiet that eps shows
    if place == "nowhere":
        extractor.do_normalize = layout == "large"
    rows = [row.numpy() for row in wav]
    prepared = extractor(rows, sampling_rate=16000, return_tensors="pt").input_values
    pipe = huggingface.load(tmp_path)
    assert ("normalize" in stages(pipe)) == extractor.do_normalize
    assert off(pipe(wav), hidden_states(model, prepared)) <= 1e-5
    assert pipe.sample_rate == 16000


def test_what_the_preprocessor_leaves_out_is_its_default() -> None:
    from transformers import Wav2Vec2FeatureExtractor

    default = Wav2Vec2FeatureExtractor()
    assert (default.do_normalize, default.sampling_rate) == (True, 16000)


def test_the_preprocessor_names_the_sample_rate(tmp_path: Path) -> None:
    saved(transformers_model(), tmp_path)
    (tmp_path / "preprocessor_config.json").write_text('{"sampling_rate": 8000}')
    pipe = huggingface.load(tmp_path)
    assert pipe.sample_rate == 8000
    assert "normalize" in stages(pipe)


@pytest.mark.parametrize("layout", ["base", "large"])
@pytest.mark.parametrize("normalize", ["utterance", "frozen", None])
def test_normalize_may_be_chosen(normalize: Any, layout: str) -> None:
    pipe = huggingface.load(transformers_model(layout), normalize=normalize)
    chosen = getattr(pipe, "normalize", None)
    assert (chosen.statistics if chosen else None) == normalize


def test_a_frozen_pipeline_streams_what_it_gives_offline() -> None:
    """Calibrated on the very waveform, its numbers are those of the whole utterance."""
    model = transformers_model()
    pipe = huggingface.load(model, normalize="frozen", group_norm="frozen", dtype=torch.float64)
    whole = huggingface.load(model, normalize="utterance", dtype=torch.float64)
    wav = speech(0.2, torch.float64)[:1]
    with pytest.raises(ValueError, match="were never given"):
        pipe(wav)
    pipe = pipe.calibrate(wav)
    session = pipe.stream()
    live = torch.cat([session.push(wav[0, :1000]), session.push(wav[0, 1000:]), session.close()])
    assert off(live[None], pipe(wav)) <= 1e-12
    assert off(pipe(wav), whole(wav)) <= 1e-12


def test_cumulative_group_norm_streams_at_once() -> None:
    pipe = huggingface.load(transformers_model(), group_norm="cumulative")
    assert sc.check_streaming(pipe).worst <= 1e-12


# The pipeline


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_another_dtype_may_be_asked_for(dtype: torch.dtype) -> None:
    pipe = huggingface.load(transformers_model(), dtype=dtype)
    assert {p.dtype for p in pipe.parameters()} == {dtype}
    assert pipe(speech(0.1, dtype)).dtype == dtype


@each_layout
def test_a_pipeline_is_saved_and_loaded(layout: str, tmp_path: Path) -> None:
    pipe = huggingface.load(transformers_model(layout))
    pipe.save(tmp_path / "pipe.safetensors")
    again = sc.Pipeline.load(tmp_path / "pipe.safetensors")
    wav = speech(0.1)
    assert not pipe.training
    assert not pipe.fresh_random
    assert not again.fresh_random
    assert torch.equal(again(wav), pipe(wav))


def test_loading_draws_nothing_and_shares_no_memory() -> None:
    model = transformers_model()
    before = torch.get_rng_state()
    pipe = huggingface.load(model)
    assert torch.equal(torch.get_rng_state(), before)
    wav = speech(0.1)
    expected = pipe(wav)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert torch.equal(pipe(wav), expected)


def test_the_preset_has_the_layout_of_a_config_with_defaults() -> None:
    from transformers import HubertConfig, UniSpeechConfig, UniSpeechSatConfig, Wav2Vec2Config, WavLMConfig

    for kind in (HubertConfig, UniSpeechConfig, UniSpeechSatConfig, Wav2Vec2Config, WavLMConfig):
        config = kind().to_dict()
        assert config["model_type"] in huggingface.MODEL_TYPES
        for key, value in huggingface.DEFAULTS.items():
            assert list(config.get(key, value)) == value if isinstance(value, list) else config.get(key, value) == value
        assert huggingface.layout_of_config({"model_type": config["model_type"]}, "here") == (
            huggingface.layout_of_config(config, "here")
        )
    presets = {name: sc.Pipeline.from_preset(name) for name in ("wav2vec2-base", "wav2vec2-large")}
    base = huggingface.layout_of_config({"model_type": "wav2vec2"}, "here")
    lv60 = {"feat_extract_norm": "layer", "conv_bias": True, "do_stable_layer_norm": True, "hidden_size": 1024}
    large = huggingface.layout_of_config({"model_type": "wav2vec2"} | lv60, "here")
    for layout, preset in zip((base, large), presets.values(), strict=True):
        built = huggingface.build(layout, normalize="auto", group_norm="utterance", dtype=torch.float32)
        assert built.to_toml() == preset.to_toml()
