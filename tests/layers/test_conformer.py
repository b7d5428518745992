"""ConformerConvModule: torchaudio's _ConvolutionModule, and the same figure put together from torch's parts, are the
judges."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchaudio.models.conformer import _ConvolutionModule

import speechconv as sc
from speechconv.layers.conformer import ConformerConvModule
from speechconv.norm import BatchNorm
from tests.law import signal, stream

PARITY = [(torch.float64, 1e-12), (torch.float32, 1e-5)]
each_type = pytest.mark.parametrize(("dtype", "tolerance"), PARITY, ids=["float64", "float32"])

SMALL: dict[str, dict[str, Any]] = {
    "batch norm": {"kernel_size": 7},
    "with biases": {"kernel_size": 7, "bias": True},
    "layer norm": {"kernel_size": 7, "bias": True, "norm": "layer"},
    "causal": {"kernel_size": 6, "padding": "causal", "norm": "layer"},
    "causal batch norm": {"kernel_size": 6, "padding": "causal", "bias": True},
    "some look-ahead": {"kernel_size": 9, "padding": (6, 2)},
    "one tap": {"kernel_size": 1, "bias": True},
}
each_variant = pytest.mark.parametrize("variant", SMALL)


def perturbed(module: ConformerConvModule) -> ConformerConvModule:
    """No norm that is the identity, no bias that is 0."""
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, BatchNorm | sc.LayerNorm):
                part.weight.uniform_(0.5, 2)
                part.bias.normal_()
            if isinstance(part, BatchNorm):
                part.running_mean.normal_()
                part.running_var.uniform_(0.5, 2)
    return module.eval()


def small(variant: str) -> ConformerConvModule:
    return perturbed(ConformerConvModule(6, **SMALL[variant]))


def off(y: Tensor, expected: Tensor) -> float:
    """Largest difference, as a share of the largest expected value."""
    assert y.shape == expected.shape
    return float((y.detach() - expected.detach()).abs().max() / expected.detach().abs().max())


# Our name, torchaudio's
NAMES = {
    "layer_norm": "layer_norm",
    "pointwise_in": "sequential.0",
    "depthwise": "sequential.2",
    "depthwise_norm": "sequential.3",
    "pointwise_out": "sequential.5",
}


def torchaudio_twin(ours: ConformerConvModule) -> tuple[_ConvolutionModule, dict[str, Tensor]]:
    """torchaudio's with the weights of ours, and its tensors under our names."""
    theirs = _ConvolutionModule(ours.channels, ours.channels, ours.kernel_size, dropout=ours.dropout, bias=ours.bias)
    theirs.to(ours.depthwise.weight).train(ours.training)
    tensors = {}
    for part, place in NAMES.items():
        for name, tensor in theirs.get_submodule(place).state_dict(keep_vars=True).items():
            tensors[f"{part}.{name}"] = tensor
    weights = ours.state_dict()
    assert weights.keys() == tensors.keys()
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(weights[name].view(tensor.shape))
    return theirs, tensors


def by_the_figure(module: ConformerConvModule, x: Tensor, pads: tuple[int, int]) -> Tensor:
    """Figure 2 of the paper in torch's functions, channels last between them."""
    w = module.state_dict()
    bias = {part: w.get(f"{part}.bias") for part in ("pointwise_in", "depthwise", "pointwise_out")}
    channels = (module.channels,)
    y = F.layer_norm(x, channels, w["layer_norm.weight"], w["layer_norm.bias"])
    y = F.glu(F.linear(y, w["pointwise_in.weight"], bias["pointwise_in"]))
    y = F.pad(y.transpose(1, 2), pads)
    y = F.conv1d(y, w["depthwise.weight"], bias["depthwise"], groups=module.channels).transpose(1, 2)
    scale, shift = w["depthwise_norm.weight"], w["depthwise_norm.bias"]
    if module.norm == "layer":
        y = F.layer_norm(y, channels, scale, shift)
    else:
        mean, variance = w["depthwise_norm.running_mean"], w["depthwise_norm.running_var"]
        y = (y - mean) / (variance + 1e-5).sqrt() * scale + shift
    return F.linear(F.silu(y), w["pointwise_out.weight"], bias["pointwise_out"])


# Parity


@each_type
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("channels", "kernel_size"), [(6, 7), (144, 31), (256, 31)])
def test_the_module_equals_torchaudios(
    channels: int, kernel_size: int, bias: bool, dtype: torch.dtype, tolerance: float
) -> None:
    ours = perturbed(ConformerConvModule(channels, kernel_size=kernel_size, bias=bias)).to(dtype)
    theirs, _ = torchaudio_twin(ours)
    x = 2 * torch.randn(2, 60, channels, dtype=dtype) + 1
    assert off(ours(x), theirs(x)) <= tolerance
    assert off(ours(x[:, :3]), theirs(x[:, :3])) <= tolerance  # shorter than the kernel


@each_type
def test_training_equals_torchaudios(dtype: torch.dtype, tolerance: float) -> None:
    """Outputs, running statistics and the gradient of every weight, over two batches."""
    ours = perturbed(ConformerConvModule(16, kernel_size=7, bias=True)).to(dtype).train()
    theirs, tensors = torchaudio_twin(ours)
    for scale in (1, 3):
        x = scale * torch.randn(2, 20, 16, dtype=dtype)
        y, expected = ours(x), theirs(x)
        assert off(y, expected) <= tolerance
        probe = torch.randn_like(y)
        (y * probe).sum().backward()
        (expected * probe).sum().backward()
    largest = max(float(tensor.grad.abs().max()) for tensor in tensors.values() if tensor.grad is not None)
    for name, parameter in ours.named_parameters():
        wanted = tensors[name].grad
        assert parameter.grad is not None
        assert wanted is not None
        assert (parameter.grad - wanted.view(parameter.shape)).abs().max() <= 10 * tolerance * largest, name
    for name, buffer in ours.named_buffers():
        assert off(buffer, tensors[name]) <= tolerance


@each_type
@each_variant
def test_every_variant_equals_the_figure(variant: str, dtype: torch.dtype, tolerance: float) -> None:
    module = small(variant).to(dtype)
    taps = module.kernel_size
    words = {"same": ((taps - 1) // 2, taps // 2), "causal": (taps - 1, 0)}
    pads = words[module.padding] if isinstance(module.padding, str) else module.padding
    x = torch.randn(2, 25, 6, dtype=dtype)
    assert off(module(x), by_the_figure(module, x, pads)) <= tolerance
    assert module.geometry.lookahead == pads[1]


def test_training_statistics_of_a_ragged_batch_are_those_of_its_valid_frames() -> None:
    """torchaudio's parts: each row alone up to its batch norm, which gets the frames of all rows in one piece."""
    ours = perturbed(ConformerConvModule(6, kernel_size=7, bias=True)).double().train()
    theirs, tensors = torchaudio_twin(ours)
    rows = [2 * torch.randn(n, 6, dtype=torch.float64) for n in (11, 1, 4)]
    batch = torch.full((3, 14, 6), torch.nan, dtype=torch.float64)
    for padded, row in zip(batch, rows, strict=True):
        padded[: len(row)] = row
    y, _ = ours(batch, torch.tensor([11, 1, 4]))

    mixed = [theirs.sequential[:3](theirs.layer_norm(row).T[None]) for row in rows]
    expected = theirs.sequential[3:](torch.cat(mixed, 2))[0].T
    assert off(torch.cat([y[i, : len(row)] for i, row in enumerate(rows)]), expected) <= 1e-12
    for name, buffer in ours.named_buffers():
        assert off(buffer, tensors[name]) <= 1e-12
    y.square().sum().backward()
    expected.square().sum().backward()
    for name, parameter in ours.named_parameters():
        wanted = tensors[name].grad
        assert parameter.grad is not None
        assert wanted is not None
        assert torch.allclose(parameter.grad, wanted.view(parameter.shape), rtol=0, atol=1e-10), name


def test_dropout_is_of_the_output_and_only_in_training() -> None:
    module = perturbed(ConformerConvModule(6, kernel_size=3, dropout=0.5))
    x = torch.randn(4, 500, 6)
    assert module(x).ne(0).all()
    y = module.train()(x)
    assert float((y == 0).double().mean()) == pytest.approx(0.5, abs=0.03)


# The law


@each_variant
def test_every_variant_keeps_the_contract(variant: str) -> None:
    assert sc.check_streaming(small(variant)).worst <= 1e-12
    assert sc.check_streaming(sc.Residual(small(variant))).worst <= 1e-12


@each_type
@pytest.mark.parametrize(("channels", "padding"), [(144, "causal"), (256, "same")])
def test_real_sizes_live_equal_offline(channels: int, padding: Any, dtype: torch.dtype, tolerance: float) -> None:
    module = perturbed(ConformerConvModule(channels, padding=padding)).to(dtype)
    x = signal(module, 80, exact=False).to(dtype)
    with torch.no_grad():
        expected = module(x[None])[0]
    assert off(stream(sc.Session(module), x, [0, 1, 30, 2, 0, 47]), expected) <= tolerance


@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_bfloat16_is_within_two_percent_of_float64_offline_and_live(norm: Any) -> None:
    module, half = (perturbed(ConformerConvModule(144, norm=norm, bias=True)) for _ in range(2))
    half.load_state_dict(module.state_dict())
    half, module = half.bfloat16(), module.double()
    x = signal(module, 100, exact=False)
    with torch.no_grad():
        expected = module(x[None])[0]
        offline = half(x[None].bfloat16())[0].double()
    live = stream(sc.Session(half), x.bfloat16(), [1, 0, 99]).double()
    for y in (offline, live):
        assert (y - expected).norm() <= 0.02 * expected.norm()


@each_variant
def test_a_batch_padded_with_nan_equals_its_rows(variant: str) -> None:
    """Outputs and weight gradients."""
    module = small(variant).double()
    lengths = [0, 1, 13, 30]
    rows = [torch.randn(n, 6, dtype=torch.float64) for n in lengths]
    batch = torch.full((4, 35, 6), torch.nan, dtype=torch.float64)
    for padded, row in zip(batch, rows, strict=True):
        padded[: len(row)] = row
    y, frames = module(batch, torch.tensor(lengths))
    y.square().sum().backward()
    together = {name: p.grad for name, p in module.named_parameters()}
    module.zero_grad()
    assert frames.tolist() == lengths
    for i, row in enumerate(rows):
        alone = module(row[None])[0]
        alone.square().sum().backward()
        assert torch.allclose(y[i, : len(row)], alone, rtol=0, atol=1e-12)
        assert not y[i, len(row) :].any()
    for name, parameter in module.named_parameters():
        gradient = together[name]
        assert gradient is not None
        assert parameter.grad is not None
        assert off(gradient, parameter.grad) <= 1e-11, name


@each_variant
def test_the_declared_receptive_field_is_that_of_the_jacobian(variant: str) -> None:
    module = small(variant).double()
    first, last = module.geometry.span(12)
    x = torch.randn(1, 30, 6, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(module(x)[0, 12].sum(), x)
    touched = gradient[0].abs().sum(1).nonzero().flatten()
    assert (int(touched[0]), int(touched[-1])) == (first, last)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"norm": "batch"}, r"^BatchNorm is in training mode: call \.eval\(\) before streaming\.$"),
        ({"norm": "layer", "dropout": 0.1}, r"^Dropout is on: call \.eval\(\) before streaming\.$"),
    ],
)
def test_a_module_in_training_does_not_stream(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sc.Session(ConformerConvModule(4, **settings).train()).push(torch.randn(20, 4))


# For inference


@each_type
@each_variant
def test_fused_equals_the_module_offline_and_live(variant: str, dtype: torch.dtype, tolerance: float) -> None:
    """Both ends included, where zeros stand for frames."""
    module = small(variant).to(dtype)
    fused = sc.fused(module)
    assert not any(isinstance(part, BatchNorm) for part in fused.modules())
    assert fused.geometry == module.geometry
    x = signal(module, 30, exact=False).to(dtype)
    with torch.no_grad():
        expected = module(x[None])[0]
        assert off(fused(x[None])[0], expected) <= tolerance
    assert off(stream(sc.Session(fused), x, [3, 0, 1, 26]), expected) <= tolerance
    assert sc.check_streaming(fused).worst <= 1e-12


@pytest.mark.parametrize("bias", [False, True])
def test_folded_filters_are_torchs(bias: bool) -> None:
    module = perturbed(ConformerConvModule(16, bias=bias)).double()
    theirs, _ = torchaudio_twin(module)
    conv, norm = theirs.sequential[2], theirs.sequential[3]
    assert isinstance(conv, nn.Conv1d)
    assert isinstance(norm, nn.BatchNorm1d)
    expected = nn.utils.fuse_conv_bn_eval(conv, norm)
    weights = sc.fused(module).state_dict()
    assert expected.bias is not None
    assert off(weights["3.weight"], expected.weight) <= 1e-14
    assert off(weights["3.bias"], expected.bias) <= 1e-14


def test_fusing_leaves_the_module_alone() -> None:
    module = small("with biases")
    x = torch.randn(1, 20, 6)
    expected = module(x)
    fused = sc.fused(module)
    with torch.no_grad():
        for parameter in fused.parameters():
            parameter.zero_()
    assert torch.equal(module(x), expected)
    assert isinstance(module.depthwise_norm, BatchNorm)


@each_variant
def test_a_fused_pipeline_is_saved_and_loaded(variant: str, tmp_path: Path) -> None:
    stft = sc.ConvSTFT(10, hop_length=5, output="power")
    pipe = sc.Pipeline([stft, sc.Residual(sc.fused(small(variant)))], sample_rate=8000).eval()
    pipe.save(tmp_path / "fused.safetensors")
    loaded = sc.Pipeline.load(tmp_path / "fused.safetensors")
    wav = torch.randn(1, 300)
    assert torch.equal(loaded(wav), pipe(wav))


# Arguments


@each_variant
def test_every_keyword_is_an_attribute_that_builds_the_same_again(variant: str) -> None:
    module = small(variant)
    settings = {name: getattr(module, name) for name in inspect.signature(ConformerConvModule).parameters}
    defaults = {"channels": 6, "padding": "same", "norm": "batch", "bias": False, "dropout": 0.0}
    assert settings == defaults | SMALL[variant]
    twin = ConformerConvModule(**settings)
    assert twin.geometry == module.geometry
    twin.load_state_dict(module.state_dict())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": 0}, r"channels \(=0\) must be an integer >= 1"),
        ({"kernel_size": 0}, r"kernel_size \(=0\) must be an integer >= 1"),
        ({"padding": "valid"}, r"padding \(='valid'\) must keep the number of frames: .* must be 30.*, not 0"),
        ({"padding": (15, 14)}, r"padding \(=\(15, 14\)\) must keep the number of frames: .* must be 30.*, not 29"),
        ({"norm": "group"}, r"norm \(='group'\) must be one of 'batch', 'layer'"),
        ({"bias": 1}, r"bias \(=1\) must be True or False"),
        ({"dropout": 1.5}, r"dropout \(=1.5\) must lie in 0 \.\.\. 1"),
    ],
)
def test_impossible_arguments_are_refused(settings: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"channels": 4} | settings
    with pytest.raises(ValueError, match=message):
        ConformerConvModule(**arguments)
