"""Models that huggingface.load refuses, each in words that name all that does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from speechconv.adapters import huggingface
from tests.adapters.checkpoints import saved, speech
from tests.adapters.models import fairseq_keys, hidden_states, off, transformers_model, weight_norm_keys

# Tensors


def test_every_missing_extra_and_misshaped_tensor_is_listed(tmp_path: Path) -> None:
    model = transformers_model()
    saved(model, tmp_path)
    state = model.state_dict()
    del state["encoder.pos_conv_embed.conv.bias"], state["feature_extractor.conv_layers.3.conv.weight"]
    state["feature_projection.projection.weight"] = torch.zeros(48, 31)
    state["encoder.layer_norm.bias"] = torch.zeros(47)
    state |= {"encoder.embed_positions.weight": torch.zeros(1), "beyond": torch.zeros(1)}
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="does not fit its own config") as error:
        huggingface.load(tmp_path)
    assert str(error.value).splitlines() == [
        f"{tmp_path} does not fit its own config:",
        "  missing: encoder.conv_layers.3.conv.weight, positional.body.bias",
        "  extra: beyond, encoder.embed_positions.weight",
        "  misshaped: encoder.layer_norm.bias is (47,), expected (48,), "
        "feature_projection.projection.weight is (48, 31), expected (48, 32)",
    ]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"w": 1}, "no wav2vec 2.0 feature encoder in the state dict: .* it holds w, ..."),
        ({"a.{first}": 3, "b.{first}": 3}, "holds several models: a., b.; pass one's tensors"),
        ({"{first}": 3}, "lacks positional.body.weight_v, so the layout of its model cannot be seen"),
        ({"feature_extractor.conv_layers.0.0.bias": 1}, r"lacks encoder.conv_layers.0.conv.weight"),
        ({"{first}": 2}, r"conv_layers.0.conv.weight in the state dict is \(2, 2\), expected \(filters"),
        (
            {"{first}": 3, "feature_extractor.conv_layers.0.0.weight": 3},
            "holds one tensor twice: .*conv.weight and .*0.w",
        ),
    ],
)
def test_state_dicts_of_something_else_are_refused(keys: dict[str, int], message: str) -> None:
    first = "feature_extractor.conv_layers.0.conv.weight"
    state = {key.replace("{first}", first): torch.zeros((2,) * axes) for key, axes in keys.items()}
    with pytest.raises(ValueError, match=message):
        huggingface.load(state)


def test_weight_norm_of_two_styles_at_once_is_refused() -> None:
    state = transformers_model().state_dict()
    both = weight_norm_keys(state, "fused")
    with pytest.raises(
        ValueError, match=r"one tensor twice: .*original0, .*original1, encoder.pos_conv_embed.conv.weight"
    ):
        huggingface.load(state | both)
    with pytest.raises(ValueError, match=r"conv.weight in the state dict is \(48,\), expected \(filters"):
        huggingface.load(both | {"encoder.pos_conv_embed.conv.weight": torch.zeros(48)})


def test_one_norm_that_is_missing_is_not_another_layout(tmp_path: Path) -> None:
    model = transformers_model("large")
    saved(model, tmp_path)
    state = model.state_dict()
    del state["feature_extractor.conv_layers.1.layer_norm.weight"]
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"own config:\n  missing: encoder.conv_layers.1.layer_norm.weight$"):
        huggingface.load(tmp_path)


def test_a_gap_in_the_convolutions_is_named() -> None:
    state = transformers_model().state_dict()
    del state["feature_extractor.conv_layers.2.conv.weight"]
    with pytest.raises(ValueError, match=r"lacks encoder.conv_layers.2.conv.weight"):
        huggingface.load(state)


def test_convolutions_of_different_widths_are_refused() -> None:
    model = transformers_model(conv_dim=(32, 32, 32, 32, 32, 32, 16))
    message = r"convolutions of different widths \(32, 32, 32, 32, 32, 32, 16\); FeatureEncoder has one `channels`"
    for source in (model, model.state_dict()):
        with pytest.raises(ValueError, match=message):
            huggingface.load(source)


# Models and their configs


def test_settings_that_we_have_not_are_all_named() -> None:
    model = transformers_model(kind="Hubert", conv_pos_batch_norm=True, feat_extract_activation="relu")
    with pytest.raises(ValueError, match="has settings that speechconv has not") as error:
        huggingface.load(model)
    assert str(error.value).splitlines() == [
        "HubertModel has settings that speechconv has not:",
        "  feat_extract_activation = 'relu' (only 'gelu')",
        "  conv_pos_batch_norm = True (only False)",
    ]


STRIDED: dict[str, Any] = {"conv_kernel": (10, 3, 3, 3, 3, 2, 2), "conv_stride": (5, 2, 2, 2, 2, 2, 2)}


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("Data2VecAudio", {"num_conv_pos_embeddings": 2, "conv_pos_kernel_size": 3}, r"several positional conv"),
        ("Wav2Vec2Conformer", {}, r"Conformer layers"),
        ("Hubert", {"conv_pos_batch_norm": True}, r"batch norm before the positional convolution"),
        ("SEW", {"num_feat_extract_layers": 7} | STRIDED, r"extra: encoder.upsample"),
    ],
)
def test_models_that_only_look_alike_are_refused_by_config_and_by_names(
    kind: str, settings: dict[str, Any], message: str
) -> None:
    model = transformers_model("large", kind, **settings)
    with pytest.raises(ValueError, match=r"has settings that speechconv has not:\n  (model_type|conv_pos_batch)"):
        huggingface.load(model)
    with pytest.raises(ValueError, match=message):
        huggingface.load(model.state_dict())


@pytest.mark.parametrize(
    ("rename", "message"),
    [
        ("encoder.pos_conv.0.0.", "several positional convolutions"),
        ("encoder.pos_conv.0.running_mean", "batch norm before the positional convolution"),
        ("encoder.layers.0.conv_module.batch_norm.", "Conformer layers"),
    ],
)
def test_fairseqs_other_models_are_refused(rename: str, message: str) -> None:
    state = fairseq_keys(transformers_model().state_dict()) | {f"{rename}weight": torch.zeros(1)}
    with pytest.raises(ValueError, match=message):
        huggingface.load({f"w2v_encoder.w2v_model.{key}": tensor for key, tensor in state.items()})


def test_a_config_that_contradicts_the_weights_is_refused() -> None:
    model = transformers_model()
    model.config.feat_extract_norm = "layer"
    with pytest.raises(
        ValueError, match=r"does not fit its own config:\n  the checkpoint has group norm .* layer norm"
    ):
        huggingface.load(model)


def test_what_the_config_says_cannot_be_said_again() -> None:
    with pytest.raises(ValueError, match=r"has a config, which says what strides and layer_norm_first would"):
        huggingface.load(transformers_model(), strides=(1,), layer_norm_first=True)
    with pytest.raises(ValueError, match=r"normalize \(='always'\) must be one of"):
        huggingface.load(transformers_model(), normalize="always")  # pyright: ignore[reportArgumentType] - refused


def test_unusual_kernels_without_a_config_need_their_strides() -> None:
    convs = {"conv_dim": (32,) * 2, "conv_kernel": (8, 4), "conv_stride": (4, 3), "num_feat_extract_layers": 2}
    model = transformers_model("large", **convs)
    with pytest.raises(ValueError, match=r"its kernels \(8, 4\) are not .* pass strides="):
        huggingface.load(model.state_dict())
    wav = speech(0.05)
    pipe = huggingface.load(model.state_dict(), strides=(4, 3), normalize=None)
    assert off(pipe(wav), hidden_states(model, wav)) <= 1e-5


def test_objects_without_a_config_are_refused() -> None:
    with pytest.raises(
        TypeError, match=r"expected a model of transformers, with its config; got Linear. Models of torcha"
    ):
        huggingface.load(torch.nn.Linear(1, 1))
