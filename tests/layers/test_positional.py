"""ConvPositionalEmbedding: transformers, torchaudio and torch's own weight norm are the judges."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

import speechconv as sc
from speechconv.layers.positional import ConvPositionalEmbedding
from tests.law import signal, stream

PARITY = [(torch.float64, 1e-12), (torch.float32, 1e-5)]
each_type = pytest.mark.parametrize(("dtype", "tolerance"), PARITY, ids=["float64", "float32"])

# channels, kernel_size, groups; the second is base's, the third has an odd kernel
SIZES = [(8, 6, 2), (768, 128, 16), (96, 31, 4)]
each_size = pytest.mark.parametrize(("channels", "kernel_size", "groups"), SIZES, ids=str)

SMALL: dict[str, dict[str, Any]] = {
    "as the checkpoints": {"kernel_size": 16},
    "odd": {"kernel_size": 7},
    "causal": {"kernel_size": 8, "padding": "causal"},
    "same": {"kernel_size": 8, "padding": "same"},
    "some look-ahead": {"kernel_size": 9, "padding": (6, 2)},
    "one tap": {"kernel_size": 1},
}
each_variant = pytest.mark.parametrize("variant", SMALL)


def perturbed(layer: ConvPositionalEmbedding) -> ConvPositionalEmbedding:
    """Lengths that are not those of the directions, and biases."""
    with torch.no_grad():
        layer.weight_g.mul_(torch.rand(layer.kernel_size) + 0.5)
        layer.bias.normal_()
    return layer.eval()


def small(variant: str) -> ConvPositionalEmbedding:
    return perturbed(ConvPositionalEmbedding(8, groups=2, **SMALL[variant]))


def off(y: Tensor, expected: Tensor) -> float:
    """Largest difference, as a share of the largest expected value."""
    assert y.shape == expected.shape
    return float((y.detach() - expected.detach()).abs().max() / expected.detach().abs().max())


def transformers_embedding(channels: int, kernel_size: int, groups: int) -> tuple[nn.Module, nn.Conv1d]:
    from transformers import Wav2Vec2Config
    from transformers.models.wav2vec2.modeling_wav2vec2 import Wav2Vec2PositionalConvEmbedding

    config = Wav2Vec2Config(
        hidden_size=channels, num_conv_pos_embeddings=kernel_size, num_conv_pos_embedding_groups=groups
    )
    theirs = Wav2Vec2PositionalConvEmbedding(config)
    assert isinstance(theirs.conv, nn.Conv1d)
    return theirs, theirs.conv


def torchaudio_embedding(channels: int, kernel_size: int, groups: int) -> tuple[nn.Module, nn.Conv1d]:
    from torchaudio.models.wav2vec2.components import ConvolutionalPositionalEmbedding

    theirs = ConvolutionalPositionalEmbedding(channels, kernel_size, groups)
    assert isinstance(theirs.conv, nn.Conv1d)
    return theirs, theirs.conv


def twin_of(conv: nn.Conv1d, **settings: Any) -> ConvPositionalEmbedding:
    """Ours with the weights of a weight-normed torch convolution, after these were perturbed."""
    weights = dict(conv.named_parameters())
    g, v = (weights[f"parametrizations.weight.original{i}"] for i in (0, 1))
    with torch.no_grad():
        g.mul_(torch.rand(g.shape) + 0.5)
        weights["bias"].normal_()
    ours = ConvPositionalEmbedding(conv.in_channels, kernel_size=v.shape[2], groups=conv.groups, **settings).to(v)
    ours.load_state_dict({"weight_g": g, "weight_v": v, "bias": weights["bias"]})
    return ours


# Parity


@each_type
@each_size
@pytest.mark.parametrize("judge", [transformers_embedding, torchaudio_embedding])
def test_the_default_equals(
    judge: Any, channels: int, kernel_size: int, groups: int, dtype: torch.dtype, tolerance: float
) -> None:
    theirs, conv = judge(channels, kernel_size, groups)
    theirs.to(dtype)
    ours = twin_of(conv)
    x = torch.randn(2, 150, channels, dtype=dtype)
    assert off(ours(x), theirs(x)) <= tolerance
    assert off(ours(x[:, :5]), theirs(x[:, :5])) <= tolerance  # shorter than the kernel


def test_gradients_of_the_weights_equal_transformers() -> None:
    theirs, conv = transformers_embedding(8, 6, 2)
    theirs.double()
    ours = twin_of(conv)
    x, probe = torch.randn(2, 2, 20, 8, dtype=torch.float64)
    (theirs(x) * probe).sum().backward()
    (ours(x) * probe).sum().backward()
    weights = dict(conv.named_parameters())
    for name, key in (("weight_g", "original0"), ("weight_v", "original1")):
        expected = weights[f"parametrizations.weight.{key}"].grad
        found = getattr(ours, name).grad
        assert expected is not None
        assert off(found, expected) <= 1e-12
    assert conv.bias is not None
    assert conv.bias.grad is not None
    assert ours.bias.grad is not None
    assert off(ours.bias.grad, conv.bias.grad) <= 1e-12


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")  # torch says that it copies its input
def test_torchs_same_is_one_frame_off_and_ours_is_not() -> None:
    """Where both ends are far, torch's frame t is the checkpoint's frame t + 1."""
    theirs, conv = transformers_embedding(32, 128, 16)
    theirs.double()
    ours, ours_same = twin_of(conv), ConvPositionalEmbedding(32, padding="same").double()
    ours_same.load_state_dict(ours.state_dict())
    same = weight_norm(nn.Conv1d(32, 32, 128, padding="same", groups=16), dim=2).double()
    same.load_state_dict(conv.state_dict())
    x = torch.randn(1, 300, 32, dtype=torch.float64)
    reference, shifted = theirs(x), nn.functional.gelu(same(x.transpose(1, 2))).transpose(1, 2)
    assert off(ours(x), reference) <= 1e-12
    assert off(shifted, reference) > 0.5
    assert off(shifted[:, :-1], reference[:, 1:]) <= 1e-12
    assert off(ours_same(x), shifted) <= 1e-12


@pytest.mark.parametrize(("padding", "pads"), [("causal", (127, 0)), ((100, 27), (100, 27)), (None, (64, 63))])
def test_padding_moves_the_kernel_in_time(padding: Any, pads: tuple[int, int]) -> None:
    _, conv = transformers_embedding(16, 128, 4)
    conv.double()
    ours = twin_of(conv, padding=padding)
    x = torch.randn(1, 200, 16, dtype=torch.float64)
    padded = nn.functional.pad(x.transpose(1, 2), pads)
    expected = nn.functional.conv1d(padded, conv.weight, conv.bias, groups=4).transpose(1, 2)
    assert off(ours(x), nn.functional.gelu(expected)) <= 1e-12
    assert (ours.geometry.pad_left, ours.geometry.lookahead) == pads


@pytest.mark.parametrize("ahead", [0, 5])
def test_a_kernel_without_its_last_taps_hears_the_signal_end_there(ahead: int) -> None:
    """How its docstring says to make do with less look-ahead under a checkpoint's weights."""
    whole = perturbed(ConvPositionalEmbedding(16, groups=4)).double()
    taps = 65 + ahead
    cut = ConvPositionalEmbedding(16, kernel_size=taps, groups=4, padding=(64, ahead)).double()
    cut.load_state_dict(
        {"weight_g": whole.weight_g[..., :taps], "weight_v": whole.weight_v[..., :taps], "bias": whole.bias}
    )
    x = torch.randn(1, 120, 16, dtype=torch.float64)
    for frame in (0, 3, 70, 119):
        assert off(cut(x)[:, frame], whole(x[:, : frame + ahead + 1])[:, frame]) <= 1e-12


def test_fresh_weights_are_spread_as_transformers_draws_them() -> None:
    fresh = ConvPositionalEmbedding(256)
    spread = 2 / (128 * 256) ** 0.5
    assert float(fresh.weight_v.detach().std()) == pytest.approx(spread, rel=0.01)
    assert off(fresh.weight, fresh.weight_v) <= 1e-5
    assert not fresh.bias.any()


# The law


@each_variant
def test_every_variant_keeps_the_contract(variant: str) -> None:
    assert sc.check_streaming(small(variant)).worst <= 1e-12
    assert sc.check_streaming(sc.Residual(small(variant))).worst <= 1e-12


@each_type
@pytest.mark.parametrize("padding", [None, "causal"])
def test_the_real_size_live_equals_offline(padding: Any, dtype: torch.dtype, tolerance: float) -> None:
    layer = perturbed(ConvPositionalEmbedding(768, padding=padding)).to(dtype)
    x = signal(layer, 150, exact=False).to(dtype)
    with torch.no_grad():
        expected = layer(x[None])[0]
    assert off(stream(sc.Session(layer), x, [0, 1, 70, 2, 0, 77]), expected) <= tolerance


@pytest.mark.parametrize("build", [lambda: small("causal"), lambda: perturbed(ConvPositionalEmbedding(256))])
def test_bfloat16_is_within_two_percent_of_float64_offline_and_live(build: Any) -> None:
    layer = build()
    half = build()
    half.load_state_dict(layer.state_dict())
    half, layer = half.bfloat16(), layer.double()
    x = signal(layer, 150, exact=False)
    with torch.no_grad():
        expected = layer(x[None])[0]
        offline = half(x[None].bfloat16())[0].double()
    live = stream(sc.Session(half), x.bfloat16(), [1, 0, 149]).double()
    for y in (offline, live):
        assert (y - expected).norm() <= 0.02 * expected.norm()


@each_variant
def test_a_batch_padded_with_nan_equals_its_rows(variant: str) -> None:
    """Outputs and weight gradients."""
    layer = small(variant).double()
    lengths = [0, 1, 13, 30]
    rows = [torch.randn(n, 8, dtype=torch.float64) for n in lengths]
    batch = torch.full((4, 35, 8), torch.nan, dtype=torch.float64)
    for padded, row in zip(batch, rows, strict=True):
        padded[: len(row)] = row
    y, frames = layer(batch, torch.tensor(lengths))
    y.square().sum().backward()
    together = {name: p.grad for name, p in layer.named_parameters()}
    layer.zero_grad()
    assert frames.tolist() == lengths
    for i, row in enumerate(rows):
        alone = layer(row[None])[0]
        alone.square().sum().backward()
        assert torch.allclose(y[i, : len(row)], alone, rtol=0, atol=1e-12)
        assert not y[i, len(row) :].any()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None
        gradient = together[name]
        assert gradient is not None
        assert off(gradient, parameter.grad) <= 1e-11


@each_variant
def test_the_declared_receptive_field_is_that_of_the_jacobian(variant: str) -> None:
    layer = small(variant).double()
    first, last = layer.geometry.span(20)
    x = torch.randn(1, 45, 8, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(layer(x)[0, 20].sum(), x)
    touched = gradient[0].abs().sum(1).nonzero().flatten()
    assert (int(touched[0]), int(touched[-1])) == (first, last)


# For inference


@each_type
@each_variant
def test_fused_equals_the_embedding_offline_and_live(variant: str, dtype: torch.dtype, tolerance: float) -> None:
    layer = small(variant).to(dtype)
    fused = layer.fuse()
    assert [type(part) for part in fused] == [sc.Conv1d, nn.GELU]
    assert fused.geometry == layer.geometry
    x = signal(layer, 40, exact=False).to(dtype)
    with torch.no_grad():
        expected = layer(x[None])[0]
        assert off(fused(x[None])[0], expected) <= tolerance
    assert off(stream(sc.Session(fused), x, [3, 0, 1, 36]), expected) <= tolerance
    assert sc.check_streaming(fused).worst <= 1e-12


def test_fused_weights_are_those_that_torch_computes() -> None:
    """In float64: torch's float32 lengths are 2e-6 off, ours 4e-7."""
    _, conv = transformers_embedding(768, 128, 16)
    fused = twin_of(conv.double()).eval().fuse()
    nn.utils.parametrize.remove_parametrizations(conv, "weight")
    assert off(fused.state_dict()["0.weight"], conv.weight) <= 1e-12


def test_fusing_leaves_the_embedding_alone_and_draws_nothing() -> None:
    layer = small("causal")
    x = torch.randn(1, 20, 8)
    before = torch.get_rng_state()
    fused = layer.fuse()
    assert torch.equal(torch.get_rng_state(), before)
    expected = layer(x)
    with torch.no_grad():
        for parameter in fused.parameters():
            parameter.zero_()
    assert torch.equal(layer(x), expected)


def test_a_fused_pipeline_is_saved_and_loaded(tmp_path: Path) -> None:
    stft = sc.ConvSTFT(14, hop_length=7, output="power")
    pipe = sc.Pipeline([stft, sc.Residual(small("causal").fuse())], sample_rate=8000).eval()
    pipe.save(tmp_path / "fused.safetensors")
    loaded = sc.Pipeline.load(tmp_path / "fused.safetensors")
    wav = torch.randn(1, 300)
    assert torch.equal(loaded(wav), pipe(wav))


def test_fuse_refuses_training_mode() -> None:
    with pytest.raises(ValueError, match=r"^fuse\(\) is for inference: call \.eval\(\) first\.$"):
        small("causal").train().fuse()


# Arguments


@each_variant
def test_every_keyword_is_an_attribute_that_builds_the_same_again(variant: str) -> None:
    layer = small(variant)
    settings = {name: getattr(layer, name) for name in inspect.signature(ConvPositionalEmbedding).parameters}
    assert settings == {"channels": 8, "groups": 2, "padding": None} | SMALL[variant]
    twin = ConvPositionalEmbedding(**settings)
    assert twin.geometry == layer.geometry
    twin.load_state_dict(layer.state_dict())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": 0}, r"channels \(=0\) must be an integer >= 1"),
        ({"channels": 10}, r"channels \(=10\) must be divisible by groups \(=16\)"),
        ({"channels": 16, "groups": 0}, r"groups \(=0\) must be an integer >= 1"),
        ({"channels": 16, "kernel_size": 0}, r"kernel_size \(=0\) must be an integer >= 1"),
        ({"channels": 16, "padding": "centre"}, r"padding \(='centre'\) must be"),
        ({"channels": 16, "padding": "valid"}, r"padding \(='valid'\) must keep .* left \+ right must be 127.*, not 0"),
        ({"channels": 16, "padding": (64, 0)}, r"padding \(=\(64, 0\)\) must keep .* must be 127.*, not 64"),
        ({"channels": 16, "padding": (64, 64)}, r"padding \(=\(64, 64\)\) must be a pair"),
    ],
)
def test_impossible_arguments_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ConvPositionalEmbedding(**settings)
