"""Numbers of models of transformers, loaded: transformers itself is the judge."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import speechconv as sc
from speechconv.adapters import huggingface
from speechconv.frontend.wav2vec2 import FeatureEncoder
from tests.adapters.checkpoints import BASE, LARGE, each_layout, speech, stages
from tests.adapters.models import hidden_states, off, transformers_model

PARITY = [(torch.float64, 1e-12), (torch.float32, 1e-5)]
each_type = pytest.mark.parametrize(("dtype", "tolerance"), PARITY, ids=["float64", "float32"])
KINDS = ["Wav2Vec2", "Hubert", "WavLM", "UniSpeech", "UniSpeechSat"]


@each_type
@each_layout
@pytest.mark.parametrize("kind", KINDS)
def test_pipeline_equals_the_input_of_the_transformer(
    kind: str, layout: str, dtype: torch.dtype, tolerance: float
) -> None:
    model = transformers_model(layout, kind).to(dtype)
    pipe = huggingface.load(model, normalize=None, dtype=dtype)
    wav = speech(dtype=dtype)
    assert stages(pipe) == [name for name in (BASE if layout == "base" else LARGE) if name != "normalize"]
    assert off(pipe(wav), hidden_states(model, wav)) <= tolerance


@each_type
@each_layout
@pytest.mark.parametrize("kind", ["Wav2Vec2", "Hubert"])
def test_every_block_equals_its_twin(kind: str, layout: str, dtype: torch.dtype, tolerance: float) -> None:
    model = transformers_model(layout, kind).to(dtype)
    pipe = huggingface.load(model, normalize=None, dtype=dtype)
    seen: dict[str, Tensor] = {}
    blocks = {f"conv {i}": layer for i, layer in enumerate(model.feature_extractor.conv_layers)}
    blocks |= {"projection": model.feature_projection.projection, "positional": model.encoder.pos_conv_embed}
    for name, block in blocks.items():
        block.register_forward_hook(lambda _m, _x, y, name=name: seen.setdefault(name, y))
    wav = speech(dtype=dtype)
    hidden_states(model, wav)
    encoder = pipe.get_submodule("encoder")
    assert isinstance(encoder, FeatureEncoder)
    with torch.no_grad():
        for i in range(7):
            assert off(first_blocks(encoder, i + 1)(wav), seen[f"conv {i}"].mT) <= tolerance
        frames = pipe.get_submodule("projection")(pipe.get_submodule("projection_norm")(encoder(wav)))
        assert off(frames, seen["projection"]) <= tolerance
        assert off(pipe.get_submodule("positional.body")(frames), seen["positional"]) <= tolerance


def first_blocks(encoder: FeatureEncoder, count: int) -> FeatureEncoder:
    """An encoder of the first convolutions alone, with their weights."""
    first = FeatureEncoder(
        channels=encoder.channels,
        kernel_sizes=encoder.kernel_sizes[:count],
        strides=encoder.strides[:count],
        norm=encoder.norm,
        bias=encoder.bias is not None,
    ).to(encoder.blocks[0].conv.weight.dtype)
    own = first.state_dict()
    first.load_state_dict({name: weight for name, weight in encoder.state_dict().items() if name in own})
    return first


def test_a_base_model_of_real_size_equals_transformers() -> None:
    model = transformers_model(conv_dim=(512,) * 7, hidden_size=768, num_attention_heads=12, num_hidden_layers=0)
    wav = speech(1.0)[:1]
    with torch.no_grad():
        expected = model(wav).last_hidden_state  # what goes into no layers at all
    assert off(huggingface.load(model)(wav), expected) <= 1e-5


def test_hubert_without_a_norm_before_the_projection() -> None:
    model = transformers_model(kind="Hubert", feat_proj_layer_norm=False)
    pipe = huggingface.load(model)
    wav = speech()
    assert stages(pipe) == ["encoder", "projection", "positional", "transformer_norm"]
    assert off(pipe(wav), hidden_states(model, wav)) <= 1e-5


@pytest.mark.parametrize(
    "settings",
    [
        {"layer_norm_eps": 1e-2},
        {"conv_bias": True},
        {"do_stable_layer_norm": True},
        {"num_conv_pos_embeddings": 9, "num_conv_pos_embedding_groups": 4},
        {"conv_dim": (32,) * 3, "conv_kernel": (8, 4, 4), "conv_stride": (4, 2, 2), "num_feat_extract_layers": 3},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_settings_of_the_config_are_followed(settings: dict[str, Any]) -> None:
    model = transformers_model(**settings)
    wav = speech(0.1)
    assert off(huggingface.load(model)(wav), hidden_states(model, wav)) <= 1e-5


def test_layers_that_norm_first_may_be_named_without_a_config() -> None:
    model = transformers_model(do_stable_layer_norm=True)
    wav = speech(0.1)
    pipe = huggingface.load(model.state_dict(), layer_norm_first=True)
    assert stages(pipe) == BASE[:-1]
    assert off(pipe(wav), hidden_states(model, wav)) <= 1e-5


def test_a_tap_of_zeros_is_a_tap_of_zeros() -> None:
    """Of a positional convolution whose weight norm was computed and dropped: its direction is 0 / 0."""
    state = transformers_model().state_dict()
    names = [f"encoder.pos_conv_embed.conv.parametrizations.weight.original{i}" for i in (0, 1)]
    lengths, directions = (state.pop(name) for name in names)
    weight = torch._weight_norm(directions, lengths, 2)  # pyright: ignore[reportPrivateImportUsage] - as old files
    weight[:, :, 5] = 0
    state["encoder.pos_conv_embed.conv.weight"] = weight
    body = huggingface.load(state).get_submodule("positional.body")
    assert isinstance(body, sc.ConvPositionalEmbedding)
    torch.testing.assert_close(body.weight, weight)


# Heads and adapters


HEADS = {
    "Wav2Vec2": ["ForPreTraining", "ForCTC", "ForSequenceClassification", "ForAudioFrameClassification", "ForXVector"],
    "Hubert": ["ForCTC", "ForSequenceClassification"],
    "WavLM": ["ForCTC", "ForSequenceClassification", "ForAudioFrameClassification", "ForXVector"],
    "UniSpeech": ["ForPreTraining", "ForCTC", "ForSequenceClassification"],
    "UniSpeechSat": ["ForPreTraining", "ForCTC", "ForSequenceClassification", "ForXVector"],
}


@pytest.mark.parametrize(("kind", "head"), [(kind, head) for kind, heads in HEADS.items() for head in heads])
def test_every_head_is_left_out_knowingly(kind: str, head: str) -> None:
    model = transformers_model("large", kind, head, use_weighted_layer_sum=True, adapter_attn_dim=4, add_adapter=False)
    base = getattr(model, model.base_model_prefix)
    wav = speech(0.1)
    pipe = huggingface.load(model, normalize=None)
    assert off(pipe(wav), hidden_states(base, wav)) <= 1e-5
    assert torch.equal(huggingface.load(model.state_dict(), normalize=None)(wav), pipe(wav))


def test_an_adapter_behind_the_transformer_is_left_out() -> None:
    model = transformers_model(add_adapter=True)
    assert any(key.startswith("adapter.") for key in model.state_dict())
    wav = speech(0.1)
    assert off(huggingface.load(model)(wav), huggingface.load(model.state_dict())(wav)) == 0
