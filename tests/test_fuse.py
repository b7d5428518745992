"""Fused networks against the ones they were made of: the same numbers, and no tie between the two."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import speechconv as sc
from tests.law import assert_close, signal, stream
from tests.layers.families.layers import FAMILY_LAYERS
from tests.weights import fill

FLOAT, EXACT = 1e-5, 1e-12  # DESIGN's, relative to the largest expected value


class Wrapped(sc.Sequential):
    """A composition of someone else's with a way of its own to run, which fusing copies as it is."""

    def offline(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        return super().offline(x, lengths)


class Doubled(sc.Conv1d):
    """A convolution of someone else's, whose weights are not its filters."""

    def valid(self, x: Tensor) -> Tensor:
        return 2 * super().valid(x)


def conformer(**settings: Any) -> sc.ConformerConvModule:
    return sc.ConformerConvModule(4, kernel_size=5, **settings)


NETS: dict[str, Callable[[], sc.Layer]] = {
    "conformer": conformer,
    "conformer, causal, bias": lambda: conformer(padding="causal", bias=True),
    "conformer, layer norm": lambda: conformer(norm="layer", padding=(1, 3)),
    "positional": lambda: sc.ConvPositionalEmbedding(4, kernel_size=6, groups=2),
    "positional, causal": lambda: sc.ConvPositionalEmbedding(4, kernel_size=6, groups=2, padding="causal"),
    "nothing to fuse": lambda: sc.WaveNetStack(4, dilations=(1, 2), causal=False),
    "in a chain": lambda: sc.Sequential(sc.Conv1d(4, 4, 3, stride=2), conformer(), nn.ReLU(), sc.BatchNorm(4)),
    "in a skip": lambda: sc.Residual(conformer(), scale=0.5),
    "in branches": lambda: sc.Parallel(conformer(), sc.ConvPositionalEmbedding(4, groups=4), sc.LayerNorm(4)),
    "in branches, product": lambda: sc.Parallel(conformer(), nn.Tanh(), join="product"),
    "in everything": lambda: sc.Sequential(
        sc.Residual(sc.Sequential(conformer(), sc.Residual(sc.ConvPositionalEmbedding(4, kernel_size=7, groups=2)))),
        sc.Parallel(
            sc.Sequential(sc.Conv1d(4, 4, 3, stride=2, padding="causal"), sc.Residual(conformer(bias=True), scale=2.0)),
            sc.Sequential(conformer(padding="causal"), sc.Conv1d(4, 3, 4, stride=2, padding=(2, 1)), nn.Linear(3, 3)),
            join="cat",
        ),
        nn.LayerNorm(7),
        Wrapped(nn.Linear(7, 4), conformer()),
    ),
}
each_net = pytest.mark.parametrize("name", NETS)


def made(name: str, dtype: torch.dtype) -> sc.Layer:
    net = NETS[name]()
    fill(net, exact=False, seed=2)
    return net.to(dtype).eval()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, EXACT), (torch.float32, FLOAT)])
@each_net
def test_fused_equals_unfused_offline_and_live(name: str, dtype: torch.dtype, tolerance: float) -> None:
    net = made(name, dtype)
    fused = sc.fused(net)
    assert isinstance(fused, sc.Layer)
    assert fused.geometry == net.geometry
    x = signal(net, 60, exact=False).to(dtype)
    with torch.no_grad():
        expected = net(x[None])[0]
        assert_close(fused(x[None])[0], expected, tolerance)
    assert_close(stream(sc.Session(fused), x, [1, 0, 20, 39]), expected, tolerance)


@each_net
def test_a_fused_network_keeps_the_contract(name: str) -> None:
    assert sc.check_streaming(sc.fused(made(name, torch.float64))).worst <= EXACT


def test_no_weight_norm_and_no_batch_norm_behind_a_depthwise_convolution_is_left() -> None:
    """A BatchNorm of its own stays; the composition of someone else's stays as it is."""
    kinds = [type(part) for part in sc.fused(made("in everything", torch.float64)).modules()]
    assert sc.ConvPositionalEmbedding not in kinds
    assert kinds.count(sc.ConformerConvModule) == kinds.count(sc.BatchNorm) == kinds.count(Wrapped) == 1
    assert norms(sc.fused(made("in a chain", torch.float64))) == 1


def norms(net: nn.Module) -> int:
    return sum(isinstance(part, sc.BatchNorm) for part in net.modules())


def assert_equal_offline_and_live(fused: nn.Module, net: sc.Layer, frames: int = 40) -> None:
    x = signal(net, frames, exact=False)
    with torch.no_grad():
        expected = net(x[None])[0]
        assert_close(fused(x[None])[0], expected, EXACT)
        batch = torch.stack((x, x.flip(0)))
        lengths = torch.tensor([frames, frames // 2])
        for y, reference in zip(fused(batch, lengths), net(batch, lengths), strict=True):
            assert_close(y.double(), reference.double(), EXACT)
    assert_close(stream(sc.Session(fused), x, [1, 0, 12, frames - 13]), expected, EXACT)


NORMED_FAMILIES = [name for name, make in FAMILY_LAYERS.items() if norms(make())]


@pytest.mark.parametrize("name", NORMED_FAMILIES)
def test_a_family_keeps_no_batch_norm(name: str) -> None:
    net = FAMILY_LAYERS[name]()
    fill(net, exact=False, seed=3)
    net = net.double().eval()
    fused = sc.fused(net)
    assert norms(fused) == 0
    assert fused.geometry == net.geometry
    assert_equal_offline_and_live(fused, net)


FOLDED: dict[str, Callable[[], sc.Layer]] = {
    "conv": lambda: sc.Sequential(sc.Conv1d(4, 6, 3, padding="same"), sc.BatchNorm(6), nn.ReLU()),
    "conv without bias": lambda: sc.Sequential(
        sc.Conv1d(4, 6, 5, stride=2, dilation=2, groups=2, bias=False, padding=(3, 1)), sc.BatchNorm(6)
    ),
    "pointwise": lambda: sc.Sequential(sc.PointwiseConv(4, 6, stride=2, groups=2), sc.BatchNorm(6)),
    "linear": lambda: sc.Sequential(nn.Linear(4, 6, bias=False), sc.BatchNorm(6)),
    "two norms": lambda: sc.Sequential(sc.Conv1d(4, 6, 3), sc.BatchNorm(6), sc.BatchNorm(6)),
    "conv in a chain": lambda: sc.Sequential(
        sc.Sequential(nn.ReLU(), sc.Sequential(sc.Conv1d(4, 6, 3))), sc.BatchNorm(6)
    ),
    "in a skip of a branch": lambda: sc.Parallel(
        sc.Residual(sc.Sequential(sc.Conv1d(4, 4, 3, padding="causal"), sc.BatchNorm(4))), nn.Linear(4, 4)
    ),
}
KEPT: dict[str, Callable[[], sc.Layer]] = {
    "before a padded conv": lambda: sc.Sequential(sc.BatchNorm(4), sc.Conv1d(4, 6, 3, padding="same")),
    "behind an activation": lambda: sc.Sequential(sc.Conv1d(4, 6, 3), nn.ReLU(), sc.BatchNorm(6)),
    "behind a skip": lambda: sc.Sequential(sc.Residual(sc.Conv1d(4, 4, 3, padding="same")), sc.BatchNorm(4)),
    "behind other filters": lambda: sc.Sequential(sc.LightweightConv(4, 3, heads=2), sc.BatchNorm(4)),
    "behind someone else's conv": lambda: sc.Sequential(Doubled(4, 6, 3), sc.BatchNorm(6)),
}


@pytest.mark.parametrize(("name", "left"), [*((name, 0) for name in FOLDED), *((name, 1) for name in KEPT)])
def test_a_batch_norm_is_folded_into_the_convolution_right_before_it_and_into_nothing_else(
    name: str, left: int
) -> None:
    net = (FOLDED | KEPT)[name]()
    fill(net, exact=False, seed=4)
    net = net.double().eval()
    fused = sc.fused(net)
    assert norms(fused) == left
    assert_equal_offline_and_live(fused, net)


def test_a_convolution_used_twice_takes_in_the_norm_behind_each_use() -> None:
    conv = sc.Conv1d(4, 4, 3, padding="same")
    net = sc.Sequential(conv, sc.BatchNorm(4), conv, nn.ReLU(), conv, sc.BatchNorm(4))
    fill(net, exact=False, seed=4)
    net = net.double().eval()
    assert norms(sc.fused(net)) == 0
    assert_equal_offline_and_live(sc.fused(net), net)


def test_a_norm_in_training_mode_stays_so() -> None:
    net = sc.Sequential(sc.ConvBlock(4, 4, 3), sc.ConvBlock(4, 4, 3)).double().eval()
    frozen, trained = (part for part in net.modules() if isinstance(part, sc.BatchNorm))
    trained.train()
    fused = sc.fused(net)
    (kept,) = (part for part in fused.modules() if isinstance(part, sc.BatchNorm))
    assert [part for part in fused.modules() if part.training] == [kept]
    x = torch.randn(2, 30, 4).double()
    assert_close(fused(x), net(x), EXACT)
    assert_close(kept.running_mean, trained.running_mean, EXACT)
    assert not frozen.training


@pytest.mark.parametrize("kind", [sc.ConvGatingMLP, sc.ConvSubsampling, sc.ConvBlock])
def test_a_family_with_nothing_to_fuse_keeps_its_class(kind: Any) -> None:
    settings = {
        sc.ConvGatingMLP: {"channels": 4, "hidden_channels": 8},
        sc.ConvSubsampling: {"channels": 4},
        sc.ConvBlock: {"in_channels": 4, "out_channels": 4, "kernel_size": 3, "norm": "layer"},
    }
    assert type(sc.fused(kind(**settings[kind]).eval())) is kind


def test_the_cost_sheet_of_a_fused_network_has_fewer_parameters_and_activations_and_as_many_products() -> None:
    net = sc.Sequential(sc.ConvBlock(4, 8, 3), sc.InvertedResidual(8, 8)).eval()
    before, after = (sc.describe(part, (50, 4)) for part in (net, sc.fused(net)))
    channels = sum(part.channels for part in net.modules() if isinstance(part, sc.BatchNorm))
    assert before.total.parameters - after.total.parameters == channels
    assert after.total.multiply_adds == before.total.multiply_adds
    assert after.total.activation_bytes < before.total.activation_bytes


@each_net
def test_original_and_fused_share_no_number(name: str) -> None:
    net = made(name, torch.float64)
    fused = sc.fused(net)
    memory = {tensor.data_ptr() for tensor in (*net.parameters(), *net.buffers())}
    assert memory.isdisjoint(tensor.data_ptr() for tensor in (*fused.parameters(), *fused.buffers()))

    x = signal(net, 60, exact=False)[None]
    with torch.no_grad():
        expected = fused(x)
        for tensor in (*net.parameters(), *net.buffers()):
            tensor.zero_()
        assert torch.equal(fused(x), expected)


@each_net
def test_the_original_is_as_it_was(name: str) -> None:
    net = made(name, torch.float64)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    sc.fused(net)
    assert net.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_fusing_draws_no_random_number() -> None:
    net = made("in everything", torch.float64)
    before = torch.random.get_rng_state()
    sc.fused(net)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("name", NETS)
def test_training_mode_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"^fuse\(\) is for inference: call \.eval\(\) first\.$"):
        sc.fused(made(name, torch.float64).train())


def test_what_is_fused_is_in_eval_mode() -> None:
    assert not any(part.training for part in sc.fused(made("in everything", torch.float64)).modules())


def pipeline() -> sc.Pipeline:
    stages = {
        "encoder": sc.FeatureEncoder(channels=4, kernel_sizes=(4, 3), strides=(3, 2), norm="layer"),
        "chain": sc.Sequential(conformer(), sc.Conv1d(4, 4, 3, stride=2)),
        "positional": sc.Residual(sc.ConvPositionalEmbedding(4, kernel_size=6, groups=2)),
        "conformer": sc.Residual(conformer(padding="causal", dropout=0.1), scale=0.5),
    }
    pipe = sc.Pipeline(stages, sample_rate=8000)
    fill(pipe, exact=False, seed=5)
    return pipe.double().eval()


def test_a_pipeline_fuses_stage_by_stage_under_its_names() -> None:
    pipe, x = pipeline(), torch.randn(2, 500).double()
    fused = pipe.fuse()
    assert [name for name, _ in fused.named_children()] == [name for name, _ in pipe.named_children()]
    assert (fused.sample_rate, fused.geometry, fused.output_dim) == (8000, pipe.geometry, 4)
    assert not any(isinstance(part, sc.BatchNorm | sc.ConvPositionalEmbedding) for part in fused.modules())
    lengths = torch.tensor([500, 333])
    with torch.no_grad():
        (expected, frames), (y, fused_frames) = pipe(x, lengths), fused(x, lengths)
    assert torch.equal(fused_frames, frames)
    assert_close(y, expected, EXACT)
    assert_close(stream(fused.stream(), x[0], [100, 1, 399]), expected[0], EXACT)


def test_a_fused_pipeline_fuses_again_to_the_same_bits() -> None:
    fused, x = pipeline().fuse(), torch.randn(1, 500).double()
    with torch.no_grad():
        assert torch.equal(fused.fuse()(x), fused(x))


def test_a_fused_pipeline_is_saved_and_loaded_bit_by_bit(tmp_path: Path) -> None:
    fused, x = pipeline().fuse(), torch.randn(1, 500).double()
    fused.save(tmp_path / "fused.safetensors")
    loaded = sc.Pipeline.load(tmp_path / "fused.safetensors")
    assert loaded.to_toml() == fused.to_toml()
    assert {key: value.shape for key, value in loaded.state_dict().items()} == {
        key: value.shape for key, value in fused.state_dict().items()
    }
    with torch.no_grad():
        assert torch.equal(loaded(x), fused(x))


def test_a_batch_norm_that_is_a_stage_is_folded_into_the_stage_before_it(tmp_path: Path) -> None:
    stages = {
        "encoder": sc.FeatureEncoder(channels=4, kernel_sizes=(4, 3), strides=(3, 2), norm="layer"),
        "block": sc.Sequential(sc.Conv1d(4, 6, 3)),
        "norm": sc.BatchNorm(6),
        "shuffle": sc.ShuffleUnit(6, 32, groups=2, stride=2),
    }
    pipe = sc.Pipeline(stages, sample_rate=8000)
    fill(pipe, exact=False, seed=6)
    pipe = pipe.double().eval()
    fused = pipe.fuse()
    assert [name for name, _ in fused.named_children()] == ["encoder", "block", "shuffle"]
    assert norms(fused) == 0
    assert_equal_offline_and_live(fused, pipe, 400)
    fused.save(tmp_path / "fused.safetensors")
    loaded = sc.Pipeline.load(tmp_path / "fused.safetensors")
    x = torch.randn(1, 500).double()
    assert torch.equal(loaded(x), fused(x))


def test_a_pipeline_in_training_mode_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^fuse\(\) is for inference: call \.eval\(\) first\.$"):
        pipeline().train().fuse()
