"""Fused networks against the ones they were made of: the same numbers, and no tie between the two."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import speechconv as sc
from tests.stacks import assert_close, fill, signal, stream

FLOAT, EXACT = 1e-5, 1e-12  # DESIGN's, relative to the largest expected value


class Wrapped(sc.Sequential):
    """A composition of someone else's, which fusing copies as it is."""


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
        Wrapped(nn.Linear(7, 4), conformer(norm="layer")),
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
    assert sc.BatchNorm not in kinds
    assert kinds.count(sc.ConformerConvModule) == kinds.count(Wrapped) == 1
    assert sc.BatchNorm in [type(part) for part in sc.fused(made("in a chain", torch.float64)).modules()]


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


def test_a_pipeline_in_training_mode_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^fuse\(\) is for inference: call \.eval\(\) first\.$"):
        pipeline().train().fuse()
