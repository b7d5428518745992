"""Weights that go into a pipeline that is there already, by huggingface.load_into."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import speechconv as sc
from speechconv.adapters import huggingface
from tests.adapters.checkpoints import each_layout, saved, speech
from tests.adapters.models import fairseq_keys, transformers_model


def preset(layout: str, channels: int = 32, hidden: int = 48) -> sc.Pipeline:
    """The preset, small; its weights random."""
    sizes: dict[str, Any] = {
        "encoder.channels": channels,
        "projection_norm.channels": channels,
        "projection": {"in_features": channels, "out_features": hidden},
        "positional": {"body": [{"stage": "conv_positional_embedding", "channels": hidden}]},
    }
    if layout == "base":
        sizes["transformer_norm.channels"] = hidden
    return sc.Pipeline.from_preset(f"wav2vec2-{layout}", **sizes)


@each_layout
@pytest.mark.parametrize("form", ["folder", "file", "fairseq", "model"])
def test_weights_go_into_a_preset(form: str, layout: str, tmp_path: Path) -> None:
    model = transformers_model(layout)
    source: Any = model
    if form != "model":
        source = saved(model, tmp_path / "model")
    if form == "file":
        source = (source / "model.safetensors").rename(tmp_path / "alone.safetensors")
    elif form == "fairseq":
        source = tmp_path / "fairseq.pt"
        torch.save({"model": fairseq_keys(model.state_dict())}, source)
    pipe = preset(layout)
    assert pipe.fresh_random
    huggingface.load_into(pipe, source)
    wav = speech(0.1)
    assert not pipe.fresh_random
    assert torch.equal(pipe(wav), huggingface.load(model)(wav))


def test_a_group_norm_preset_takes_weights_that_were_made_for_normalised_waveforms(tmp_path: Path) -> None:
    model = transformers_model()
    model.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text('{"do_normalize": true}')
    pipe = huggingface.load(model.state_dict())
    for parameter in pipe.parameters():
        parameter.data.zero_()
    huggingface.load_into(pipe, tmp_path)
    assert "normalize" not in dict(pipe.named_children())
    torch.testing.assert_close(pipe.state_dict(), huggingface.load(model.state_dict()).state_dict())


def test_frozen_statistics_of_other_weights_are_forgotten() -> None:
    wav = speech(0.1)
    pipe = preset("base").calibrate(wav)
    pipe(wav)
    huggingface.load_into(pipe, transformers_model())
    with pytest.raises(ValueError, match="were never given"):
        pipe(wav)


# What does not fit


def test_a_checkpoint_that_contradicts_the_pipeline_changes_nothing(tmp_path: Path) -> None:
    source = saved(transformers_model("large", layer_norm_eps=1e-3, conv_stride=(5, 2, 2, 2, 2, 2, 3)), tmp_path)
    (source / "preprocessor_config.json").write_text('{"do_normalize": true, "sampling_rate": 24000}')
    pipe = preset("base")
    before = {name: tensor.clone() for name, tensor in pipe.state_dict().items()}
    with pytest.raises(ValueError, match="does not fit the pipeline") as error:
        huggingface.load_into(pipe, source)
    lines = str(error.value).splitlines()
    assert lines[:7] == [
        f"{source} does not fit the pipeline:",
        "  the checkpoint has layer norm behind every convolution (as wav2vec2-large), the pipeline group norm behind "
        "the first convolution (as wav2vec2-base)",
        "  the checkpoint has strides (5, 2, 2, 2, 2, 2, 3), the pipeline strides (5, 2, 2, 2, 2, 2, 2)",
        "  the checkpoint has no layer norm behind the positional embedding (do_stable_layer_norm = true), the "
        "pipeline a layer norm behind the positional embedding (do_stable_layer_norm = false)",
        "  the checkpoint has eps 0.001 in its layer norms, the pipeline eps 1e-05 in its layer norms",
        "  the checkpoint has a normalised waveform (do_normalize = true), the pipeline the waveform as it is "
        "(do_normalize = false)",
        "  the checkpoint has 24000 Hz, the pipeline 16000 Hz",
    ]
    assert (
        lines[7]
        == "  (huggingface.load makes the pipeline that fits; on the command line: --weights without --pipeline)"
    )
    assert lines[8].startswith("  extra: feature_extractor.conv_layers.0.conv.bias, ")
    assert pipe.fresh_random
    assert all(torch.equal(tensor, before[name]) for name, tensor in pipe.state_dict().items())


@each_layout
def test_a_bare_file_that_contradicts_the_pipeline_says_so_in_words(layout: str) -> None:
    other = "large" if layout == "base" else "base"
    with pytest.raises(
        ValueError, match=r"the checkpoint has (group|layer) norm behind .*, the pipeline (group|layer)"
    ):
        huggingface.load_into(preset(other), fairseq_keys(transformers_model(layout).state_dict()))


def test_a_pipeline_of_another_size_lists_what_is_misshaped() -> None:
    with pytest.raises(
        ValueError, match=r"misshaped: encoder.layer_norm.bias is \(48,\), expected \(64,\), enc"
    ) as error:
        huggingface.load_into(preset("base", hidden=64), transformers_model().state_dict())
    assert str(error.value).count("expected") == 6


@pytest.mark.parametrize("stages", ["logmel", "fused"])
def test_pipelines_of_other_stages_are_refused(stages: str) -> None:
    pipe = sc.Pipeline.from_preset("logmel") if stages == "logmel" else preset("base").fuse()
    with pytest.raises(ValueError, match=r"need the stages encoder .* as in the preset wav2vec2-base; got"):
        huggingface.load_into(pipe, transformers_model())
