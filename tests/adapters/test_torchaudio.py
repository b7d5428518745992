"""Models of torchaudio: torchaudio itself is the judge."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import speechconv as sc
from speechconv.adapters import huggingface, torchaudio
from tests.adapters.checkpoints import each_layout
from tests.adapters.models import off, perturbed, torchaudio_model, weight_norm_keys

PARITY = [(torch.float64, 1e-12), (torch.float32, 1e-5)]
each_type = pytest.mark.parametrize(("dtype", "tolerance"), PARITY, ids=["float64", "float32"])


def speech(dtype: torch.dtype = torch.float32) -> Tensor:
    return 0.1 * torch.randn(2, 4000, dtype=dtype) + 0.02


def transformer_input(model: Any, wav: Tensor) -> Tensor:
    with torch.no_grad():
        features, _ = model.feature_extractor(wav, None)
        projected, _ = model.encoder._preprocess(features)
        return model.encoder.transformer._preprocess(projected)


# wav2vec 2.0 and HuBERT


@each_type
@each_layout
def test_pipeline_equals_the_input_of_the_transformer(layout: str, dtype: torch.dtype, tolerance: float) -> None:
    model = torchaudio_model(layout, aux=5).to(dtype)
    pipe = torchaudio.load(model, normalize=None, dtype=dtype)
    wav = speech(dtype)
    assert hasattr(pipe, "transformer_norm") == (layout == "base")
    assert off(pipe(wav), transformer_input(model, wav)) <= tolerance


@each_type
@each_layout
def test_every_block_equals_its_twin(layout: str, dtype: torch.dtype, tolerance: float) -> None:
    model = torchaudio_model(layout).to(dtype)
    pipe = torchaudio.load(model, normalize=None, dtype=dtype)
    wav = speech(dtype)
    with torch.no_grad():
        frames, _ = model.feature_extractor(wav, None)
        projected = model.encoder.feature_projection(frames)
        embedding = model.encoder.transformer.pos_conv_embed(projected)
        assert off(pipe.get_submodule("encoder")(wav), frames) <= tolerance
        assert (
            off(pipe.get_submodule("projection")(pipe.get_submodule("projection_norm")(frames)), projected) <= tolerance
        )
        assert off(pipe.get_submodule("positional.body")(projected), embedding) <= tolerance


def test_the_layout_comes_from_the_model_and_not_from_a_guess() -> None:
    """Strides, and layers that norm first behind an encoder with group norm."""
    from torchaudio.models import wav2vec2_model

    convs = [(16, 8, 3), (16, 4, 2)]
    model = perturbed(wav2vec2_model("group_norm", convs, True, 16, 0, 8, 2, 1, 2, 0, 8, 0, 0, True, 0, None))
    wav = speech()
    pipe = torchaudio.load(model)
    assert pipe.geometry.stride == 6
    assert not hasattr(pipe, "transformer_norm")
    assert off(pipe(wav), transformer_input(model, wav)) <= 1e-5


@pytest.mark.parametrize("factory", ["hubert_pretrain_model", "wavlm_model"])
def test_its_other_models_have_the_same_front(factory: str) -> None:
    from torchaudio import models

    convs = [(16, 10, 5)] + [(16, 3, 2)] * 4 + [(16, 2, 2)] * 2
    front = ("layer_norm", convs, False, 16, 0, 8, 2, 1, 2)
    if factory == "wavlm_model":
        source = model = perturbed(models.wavlm_model(*front, 4, 8, 0, 8, 0, 0, True, 0, None))
    else:
        masks = (0.8, "static", 0.0, 10, False, 1, 0.0, "static", 0.0, 10, False, 1)
        source = perturbed(models.hubert_pretrain_model(*front, 0, 8, 0, 0, True, 0, *masks, False, False, 6, 4, None))
        model = source.wav2vec2
    wav = speech()
    pipe = torchaudio.load(source, normalize=None)
    assert off(pipe(wav), transformer_input(model, wav)) <= 1e-5
    assert torch.equal(torchaudio.load(source.state_dict(), normalize=None)(wav), pipe(wav))


@pytest.mark.parametrize("says", [True, False, None])
@each_layout
def test_normalize_follows_the_bundles_wrapper_and_else_the_layout(layout: str, says: bool | None) -> None:
    from torchaudio.pipelines._wav2vec2.utils import _extend_model

    model = torchaudio_model(layout)
    source = model if says is None else _extend_model(model, normalize_waveform=says)
    wav = 0.003 * torch.randn(1, 4000) + 0.02  # so quiet that eps shows; one row, for the wrapper mixes rows
    seen: list[Tensor] = []
    model.feature_extractor.register_forward_pre_hook(lambda _module, given: seen.append(given[0]))
    with torch.no_grad():
        source(wav)
    normalizes = layout == "large" if says is None else says
    inside = nn.functional.layer_norm(wav, wav.shape) if normalizes else wav
    if says is not None:
        assert torch.equal(seen[0], inside)
    pipe = torchaudio.load(source)
    assert hasattr(pipe, "normalize") == normalizes
    assert off(pipe(wav), transformer_input(model, inside)) <= 1e-5


@each_layout
@pytest.mark.parametrize("style", ["parametrized", "hooks", "fused"])
def test_a_state_dict_file_gives_the_same_pipeline(style: str, layout: str, tmp_path: Path) -> None:
    model = torchaudio_model(layout, aux=5)
    state = model.state_dict()
    torch.save(state if style == "parametrized" else weight_norm_keys(state, style), tmp_path / "model.pt")
    expected, pipe = torchaudio.load(model), torchaudio.load(tmp_path / "model.pt")
    wav = speech()
    assert pipe.to_toml() == expected.to_toml()
    assert off(pipe(wav), expected(wav)) <= 1e-5
    into = torchaudio.load(torchaudio_model(layout))
    huggingface.load_into(into, tmp_path / "model.pt")
    assert torch.equal(into(wav), pipe(wav))


def test_a_model_without_its_parametrization() -> None:
    """As torch.jit.script leaves it."""
    model = torchaudio_model().double()
    wav = speech(torch.float64)
    expected = transformer_input(model, wav)
    nn.utils.parametrize.remove_parametrizations(model.encoder.transformer.pos_conv_embed.conv, "weight")
    assert off(torchaudio.load(model, dtype=torch.float64)(wav), expected) <= 1e-12


def test_a_pipeline_is_saved_and_loaded_in_eval_mode(tmp_path: Path) -> None:
    pipe = torchaudio.load(torchaudio_model("large").train())
    pipe.save(tmp_path / "pipe.safetensors")
    wav = speech()
    assert not pipe.training
    assert not pipe.fresh_random
    assert torch.equal(sc.Pipeline.load(tmp_path / "pipe.safetensors")(wav), pipe(wav))


def test_what_a_model_says_cannot_be_said_again() -> None:
    with pytest.raises(ValueError, match=r"a model says itself what strides and layer_norm_first are"):
        torchaudio.load(torchaudio_model(), strides=(1,))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (torchaudio.load, r"expected a torchaudio.models.Wav2Vec2Model, got Linear; models of transformers are for"),
        (torchaudio.load_conformer, r"expected a torchaudio.models.conformer.Conformer, got Linear"),
        (torchaudio.load_conformer_module, r"expected a torchaudio.models.conformer._ConvolutionModule, got Linear"),
    ],
)
def test_other_modules_are_refused(call: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call(nn.Linear(1, 1))


@pytest.mark.parametrize("error", [OSError("libcudart.so.13: cannot open"), ImportError("no module")])
def test_a_torchaudio_that_does_not_load_is_an_error_in_words(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = torchaudio_model()
    expected = torchaudio.load(model)

    class Broken:
        def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
            if name == "torchaudio":
                raise error

    monkeypatch.delitem(sys.modules, "torchaudio")
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(ImportError, match=rf"torchaudio does not load \({error}\); it must be built for this torch, "):
        torchaudio.load(model)
    wav = speech()
    assert torch.equal(torchaudio.load(model.state_dict())(wav), expected(wav))  # which needs no torchaudio


# The Conformer


def conformer_module(channels: int = 24, taps: int = 7, **settings: Any) -> Any:
    """With running statistics that are not those of the start."""
    from torchaudio.models.conformer import _ConvolutionModule

    module = perturbed(_ConvolutionModule(channels, settings.pop("num_channels", channels), taps, **settings))
    norm = module.sequential[3]
    if isinstance(norm, nn.BatchNorm1d):
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    return module


@each_type
@pytest.mark.parametrize("bias", [True, False])
def test_conformer_module_equals_torchaudios(bias: bool, dtype: torch.dtype, tolerance: float) -> None:
    theirs = conformer_module(bias=bias, dropout=0.25).to(dtype)
    ours = torchaudio.load_conformer_module(theirs)
    x = torch.randn(2, 40, 24, dtype=dtype)
    assert off(ours(x), theirs(x)) <= tolerance
    assert off(sc.fused(ours)(x), theirs(x)) <= tolerance
    assert (ours.dropout, ours.bias, ours.kernel_size, ours.training) == (0.25, bias, 7, False)
    assert {name.partition(".")[0] for name in ours.state_dict()} == set(torchaudio.CONVOLUTION.values())


def test_conformer_module_trains_on_as_torchaudios_does() -> None:
    """Its running averages too, on a batch without padding."""
    theirs = conformer_module(bias=True).double()
    ours = torchaudio.load_conformer_module(theirs).train()
    theirs.train()
    x = torch.randn(2, 40, 24, dtype=torch.float64)
    assert off(ours(x), theirs(x)) <= 1e-12
    assert off(ours.eval()(x), theirs.eval()(x)) <= 1e-12


def test_conformer_gives_one_module_for_each_layer() -> None:
    from torchaudio.models import Conformer

    theirs = perturbed(Conformer(24, 4, 32, num_layers=3, depthwise_conv_kernel_size=5, dropout=0.1))
    modules = torchaudio.load_conformer(theirs)
    x = torch.randn(1, 20, 24)
    assert len(modules) == 3
    for ours, layer in zip(modules, theirs.conformer_layers, strict=True):
        assert off(ours(x), layer.conv_module(x)) <= 1e-5


def test_loading_a_module_draws_nothing_and_shares_no_memory() -> None:
    theirs = conformer_module()
    before = torch.get_rng_state()
    ours = torchaudio.load_conformer_module(theirs)
    assert torch.equal(torch.get_rng_state(), before)
    x = torch.randn(1, 20, 24)
    expected = ours(x)
    for tensor in theirs.state_dict().values():
        tensor.zero_()
    assert torch.equal(ours(x), expected)


def test_what_our_conformer_module_has_not_is_all_named() -> None:
    from torchaudio.models import Conformer

    theirs = conformer_module(num_channels=12, use_group_norm=True)
    theirs.layer_norm.eps = 1e-3
    with pytest.raises(ValueError, match="has what ConformerConvModule has not") as error:
        torchaudio.load_conformer_module(theirs)
    assert str(error.value).splitlines()[1:] == [
        "  GroupNorm behind the depthwise convolution (use_group_norm); only BatchNorm1d",
        "  num_channels = 12, input_dim = 24; only equal ones",
        "  eps = 0.001 in LayerNorm; only 1e-05",
    ]
    with pytest.raises(ValueError, match=r"GroupNorm behind the depthwise convolution \(use_group_norm\)"):
        torchaudio.load_conformer(Conformer(24, 4, 32, 1, 5, use_group_norm=True))


def test_a_batch_norm_without_running_statistics_is_refused() -> None:
    theirs = conformer_module()
    theirs.sequential[3] = nn.BatchNorm1d(24, track_running_stats=False)
    with pytest.raises(
        ValueError, match=r"missing: depthwise_norm.num_batches_tracked, depthwise_norm.running_mean, dep"
    ):
        torchaudio.load_conformer_module(theirs)
