"""Checkpoints of transformers, in every form they come in: transformers itself is the judge."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import speechconv as sc
from speechconv.adapters import huggingface
from speechconv.adapters.checkpoint import open_checkpoint
from speechconv.frontend.wav2vec2 import FeatureEncoder
from tests.adapters.models import (
    fairseq_keys,
    hidden_states,
    off,
    transformers_model,
    weight_norm_keys,
)

PARITY = [(torch.float64, 1e-12), (torch.float32, 1e-5)]
each_type = pytest.mark.parametrize(("dtype", "tolerance"), PARITY, ids=["float64", "float32"])
each_layout = pytest.mark.parametrize("layout", ["base", "large"])
KINDS = ["Wav2Vec2", "Hubert", "WavLM", "UniSpeech", "UniSpeechSat"]

BASE = ["encoder", "projection_norm", "projection", "positional", "transformer_norm"]
LARGE = ["normalize", "encoder", "projection_norm", "projection", "positional"]


def stages(pipe: sc.Pipeline) -> list[str]:
    return [name for name, _ in pipe.named_children()]


def speech(seconds: float = 0.25, dtype: torch.dtype = torch.float32) -> Tensor:
    """Two rows of noise with an offset, as loud as speech."""
    return 0.1 * torch.randn(2, int(16000 * seconds), dtype=dtype) + 0.02


def saved(model: Any, folder: Path, **settings: Any) -> Path:
    model.save_pretrained(folder, **settings)
    return folder


# The same numbers


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


# Where it comes from


@each_layout
@pytest.mark.parametrize("form", ["folder", "shards", "bin", "file of the folder", "file", "pt", "state dict"])
def test_every_form_gives_the_same_pipeline(form: str, layout: str, tmp_path: Path) -> None:
    model = transformers_model(layout, head="ForCTC")
    source: Any = saved(model, tmp_path / "model", max_shard_size="20KB" if form == "shards" else "1GB")
    weights = source / "model.safetensors"
    if form == "shards":
        assert not weights.exists()
        assert (source / "model.safetensors.index.json").exists()
    elif form == "bin":
        weights.unlink()
        torch.save(model.state_dict(), source / "pytorch_model.bin")
    elif form == "file of the folder":
        source = weights
    elif form == "file":
        source = weights.rename(tmp_path / "alone.safetensors")
    elif form == "pt":
        source = tmp_path / "alone.pt"
        torch.save({"model": model.state_dict(), "step": 3}, source)
    elif form == "state dict":
        source = model.state_dict()
    expected, pipe = huggingface.load(model), huggingface.load(source)
    wav = speech(0.1)
    assert stages(pipe) == (BASE if layout == "base" else LARGE)
    assert torch.equal(pipe(wav), expected(wav))
    assert pipe.to_toml() == expected.to_toml()


def test_shards_of_bin_files(tmp_path: Path) -> None:
    model = transformers_model()
    saved(model, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    state = model.state_dict()
    places = {key: f"pytorch_model-0000{1 + i % 2}-of-00002.bin" for i, key in enumerate(state)}
    for name in set(places.values()):
        torch.save({key: state[key] for key in state if places[key] == name}, tmp_path / name)
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": places}))
    wav = speech(0.1)
    assert torch.equal(huggingface.load(tmp_path)(wav), huggingface.load(model)(wav))


def test_only_a_file_by_transformers_own_name_takes_the_config_beside_it(tmp_path: Path) -> None:
    saved(transformers_model(layer_norm_eps=0.5), tmp_path)
    path = tmp_path / "model.safetensors"
    assert huggingface.load(path).get_submodule("projection_norm").eps == 0.5
    path = path.rename(tmp_path / "epoch3.safetensors")
    assert huggingface.load(path).get_submodule("projection_norm").eps == 1e-5


@each_layout
@pytest.mark.parametrize("style", ["hooks", "fused"])
def test_every_style_of_weight_norm(style: str, layout: str) -> None:
    model = transformers_model(layout).double()
    state = weight_norm_keys(model.state_dict(), style)
    wav = speech(0.1, torch.float64)
    pipe = huggingface.load(state, normalize=None, dtype=torch.float64)
    assert off(pipe(wav), hidden_states(model, wav)) <= 1e-12


@each_layout
@pytest.mark.parametrize("kind", ["Wav2Vec2", "Hubert"])
@pytest.mark.parametrize("form", ["pretrained", "fine-tuned", "file"])
def test_fairseq_checkpoints(form: str, kind: str, layout: str, tmp_path: Path) -> None:
    model = transformers_model(layout, kind)
    source: Any = fairseq_keys(model.state_dict())
    extra = {
        "pretrained": ["quantizer.vars", "project_q.weight", "final_proj.bias", "label_embs_concat"],
        "fine-tuned": ["w2v_encoder.proj.weight", "w2v_encoder.proj.bias"],
        "file": ["target_glu.0.weight", "input_quantizer.vars", "project_inp.weight"],
    }
    if form == "fine-tuned":
        source = {f"w2v_encoder.w2v_model.{key}": tensor for key, tensor in source.items()}
    source |= {key: torch.ones(2) for key in extra[form]}
    if form == "file":
        torch.save({"args": None, "model": source, "optimizer_history": [], "extra_state": {}}, tmp_path / "w2v.pt")
        source = tmp_path / "w2v.pt"
    wav = speech(0.1)
    pipe = huggingface.load(source)
    inside = wav if layout == "base" else torch.nn.functional.layer_norm(wav, wav.shape[1:])  # fairseq's own way
    assert off(pipe(wav), hidden_states(model, inside)) <= 1e-5


def test_old_fairseq_files_in_half_precision_are_taken_in_float32() -> None:
    model = transformers_model()
    state = {key: tensor.half() for key, tensor in model.state_dict().items()}
    pipe = huggingface.load(fairseq_keys(state))
    model.load_state_dict(state)
    wav = speech(0.1)
    assert {p.dtype for p in pipe.parameters()} == {torch.float32}
    assert off(pipe(wav), hidden_states(model, wav)) <= 1e-5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_another_dtype_may_be_asked_for(dtype: torch.dtype) -> None:
    pipe = huggingface.load(transformers_model(), dtype=dtype)
    assert {p.dtype for p in pipe.parameters()} == {dtype}
    assert pipe(speech(0.1, dtype)).dtype == dtype


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_what_is_left_out_is_not_read_into_memory(suffix: str, tmp_path: Path) -> None:
    import psutil

    path, process = tmp_path / f"large{suffix}", psutil.Process()
    state = transformers_model().state_dict() | {"encoder.layers.9.fc1.weight": torch.ones(16 << 20)}
    (save_file if suffix == ".safetensors" else torch.save)(state, path)
    del state
    before = process.memory_info().rss
    checkpoint = open_checkpoint(path)
    pipe = huggingface.load(checkpoint.tensors)
    assert process.memory_info().rss - before < 16 << 20  # of 64 MB
    assert not pipe.fresh_random


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


# What does not fit


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


def test_layers_that_norm_first_may_be_named_without_a_config() -> None:
    model = transformers_model(do_stable_layer_norm=True)
    wav = speech(0.1)
    pipe = huggingface.load(model.state_dict(), layer_norm_first=True)
    assert stages(pipe) == BASE[:-1]
    assert off(pipe(wav), hidden_states(model, wav)) <= 1e-5


# Into a pipeline that is there already


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


def test_frozen_statistics_of_other_weights_are_forgotten() -> None:
    wav = speech(0.1)
    pipe = preset("base").calibrate(wav)
    pipe(wav)
    huggingface.load_into(pipe, transformers_model())
    with pytest.raises(ValueError, match="were never given"):
        pipe(wav)


# Files and names that are not there


def test_a_file_with_more_than_tensors_says_how_to_save_them_alone(tmp_path: Path) -> None:
    """The line that the message ends with is run here."""
    import argparse

    model = transformers_model()
    path = tmp_path / "wav2vec_small.pt"
    torch.save({"args": argparse.Namespace(lr=1.0), "model": fairseq_keys(model.state_dict())}, path)
    with pytest.raises(ValueError, match=r"holds more than tensors \(argparse.Namespace\), .* would run code") as error:
        huggingface.load(path)
    line = str(error.value).rpartition("is installed: ")[2]
    eval(line, {"torch": torch})
    wav = speech(0.1)
    assert torch.equal(huggingface.load(tmp_path / "wav2vec_small.tensors.pt")(wav), huggingface.load(model)(wav))


def test_a_pickle_that_would_run_code_does_not_run_it(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "sprung",))

    torch.save({"model": Trap()}, tmp_path / "trap.pt")
    with pytest.raises(ValueError, match=r"holds more than tensors"):
        huggingface.load(tmp_path / "trap.pt")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.safetensors", b"junk", "a.safetensors is not a safetensors file"),
        ("a.pt", b"junk", "a.pt is not a file of torch's "),
        ("a.bin", b"", "a.bin is not a file of torch's \\(EOFError: "),
        ("a.txt", b"junk", r"a.txt is no checkpoint: expected .safetensors or .bin, .pt, .pth, .ckpt"),
        ("a.index.json", b"{", "a.index.json is not valid JSON"),
        ("a.index.json", b"[]", "a.index.json must hold a JSON object, got list"),
        ("a.index.json", b"{}", "a.index.json has no weight_map"),
    ],
)
def test_files_of_something_else_are_refused(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        huggingface.load(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "held"),
    [({"epoch": 3, "loss": 0.5}, "epoch, loss"), ([1, 2], "list"), ({}, "nothing"), ({"model": {"a": 1}}, "model")],
)
def test_torch_files_without_a_state_dict_are_refused(content: Any, held: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=rf"holds no state dict, .* model_state_dict; it holds {held}\.$"):
        huggingface.load(tmp_path / "a.pt")


def test_a_pipeline_of_our_own_is_not_a_checkpoint(tmp_path: Path) -> None:
    sc.Pipeline.from_preset("logmel").save(tmp_path / "pipe.safetensors")
    with pytest.raises(ValueError, match=r"pipeline of speechconv's own; open it with speechconv.Pipeline.load"):
        huggingface.load(tmp_path / "pipe.safetensors")


def test_absent_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"no weights in the folder .*: expected one of model.safetensors, .* noth"
    ):
        huggingface.load(tmp_path)
    for name in ("no/such/folder", "model.safetensors", "some/model.pt", "/some", "wav2vec2-base"):
        with pytest.raises(
            FileNotFoundError, match=rf"no file or folder {name}; a model on the hub is named owner/name"
        ):
            huggingface.load(name)
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"w": "one.safetensors"}}')
    with pytest.raises(FileNotFoundError, match=r"names files that are not beside it: one.safetensors"):
        huggingface.load(tmp_path)


def test_objects_without_a_config_are_refused() -> None:
    with pytest.raises(
        TypeError, match=r"expected a model of transformers, with its config; got Linear. Models of torcha"
    ):
        huggingface.load(torch.nn.Linear(1, 1))


@pytest.mark.parametrize("held", ["model.safetensors", "pytorch_model.bin"])
def test_a_hub_name_fetches_only_the_files_that_are_needed(
    held: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fnmatch import fnmatch

    import huggingface_hub

    model = transformers_model()
    hub, cache = saved(model, tmp_path / "hub"), tmp_path / "cache"
    cache.mkdir()
    if held == "pytorch_model.bin":
        (hub / "model.safetensors").unlink()
    torch.save(model.state_dict(), hub / "pytorch_model.bin")
    (hub / "flax_model.msgpack").write_bytes(b"large")

    def snapshot_download(name: str, *, allow_patterns: list[str]) -> str:
        assert name == "owner/a-model_1.0"
        for file in hub.iterdir():
            if any(fnmatch(file.name, pattern) for pattern in allow_patterns):
                (cache / file.name).write_bytes(file.read_bytes())
        return str(cache)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    wav = speech(0.1)
    assert torch.equal(huggingface.load("owner/a-model_1.0")(wav), huggingface.load(model)(wav))
    assert {file.name for file in cache.iterdir()} == {"config.json", held}


def test_a_hub_that_is_out_of_reach_is_an_error_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        ConnectionError, match=r"no file or folder no-one/nothing, and the hub did not give it .* network"
    ):
        huggingface.load("no-one/nothing")


def test_without_the_hubs_package_the_message_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(
        ImportError, match=r"takes the package huggingface_hub: pip install huggingface_hub, or download"
    ):
        huggingface.load("no-one/nothing")


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
