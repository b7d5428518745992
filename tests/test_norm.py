"""LayerNorm and BatchNorm against torch's."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import speechconv as sc
from speechconv.norm import BatchNorm


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_layer_norm_equals_torch(dtype: torch.dtype) -> None:
    theirs = torch.nn.LayerNorm(6, eps=1e-3)
    theirs.weight.data.normal_()
    theirs.bias.data.normal_()
    ours = sc.LayerNorm(6, eps=1e-3)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 5, 6).to(dtype)
    assert torch.equal(ours.to(dtype)(x), theirs.to(dtype)(x))


@pytest.mark.parametrize(
    ("channels", "eps", "message"), [(0, 1e-5, r"channels \(=0\)"), (4, 0.0, r"eps \(=0.0\) must be > 0")]
)
def test_layer_norm_refuses_impossible_arguments(channels: int, eps: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sc.LayerNorm(channels, eps=eps)


# Batch norm

LENGTHS = [7, 0, 12, 1]
SETTINGS: dict[str, Any] = {"eps": 1e-2, "momentum": 0.3}
PARITY = [(torch.float64, 1e-12), (torch.float32, 1e-5)]
each_type = pytest.mark.parametrize(("dtype", "tolerance"), PARITY, ids=["float64", "float32"])


def off(y: Tensor, expected: Tensor) -> float:
    """Largest difference, as a share of the largest expected value."""
    assert y.shape == expected.shape
    return float((y.detach() - expected.detach()).abs().max() / expected.detach().abs().max())


def twins(dtype: torch.dtype) -> tuple[BatchNorm, nn.BatchNorm1d]:
    """Ours and torch's, with the same weights and running statistics, none of them trivial."""
    theirs = nn.BatchNorm1d(6, **SETTINGS)
    for tensor in (theirs.weight, theirs.bias, theirs.running_mean):
        assert tensor is not None
        tensor.data.normal_()
    assert theirs.running_var is not None
    theirs.running_var.uniform_(0.5, 3)
    ours = BatchNorm(6, **SETTINGS)
    ours.load_state_dict(theirs.state_dict())
    return ours.to(dtype), theirs.to(dtype)


def padded_with_nan(rows: list[Tensor]) -> Tensor:
    batch = torch.full((len(rows), max(map(len, rows)) + 3, 6), torch.nan, dtype=rows[0].dtype)
    for padded, row in zip(batch, rows, strict=True):
        padded[: len(row)] = row
    return batch


def assert_same_statistics(ours: BatchNorm, theirs: nn.BatchNorm1d, tolerance: float) -> None:
    assert theirs.running_mean is not None
    assert theirs.running_var is not None
    assert off(ours.running_mean, theirs.running_mean) <= tolerance
    assert off(ours.running_var, theirs.running_var) <= tolerance
    assert int(ours.num_batches_tracked) == int(theirs.state_dict()["num_batches_tracked"])


@each_type
def test_batch_norm_equals_torch_in_eval_mode(dtype: torch.dtype, tolerance: float) -> None:
    ours, theirs = twins(dtype)
    x = 2 * torch.randn(3, 9, 6, dtype=dtype) + 1
    assert off(ours.eval()(x), theirs.eval()(x.transpose(1, 2)).transpose(1, 2)) <= tolerance
    assert_same_statistics(ours, theirs, tolerance)


@each_type
def test_batch_norm_equals_torch_in_training(dtype: torch.dtype, tolerance: float) -> None:
    """Outputs, gradients and running statistics, over three batches."""
    ours, theirs = twins(dtype)
    for scale in (1, 5, 2):
        x = (scale * torch.randn(3, 9, 6, dtype=dtype) + 1).requires_grad_()
        x_theirs = x.detach().transpose(1, 2).requires_grad_()
        y, expected = ours(x), theirs(x_theirs).transpose(1, 2)
        assert off(y, expected) <= tolerance
        probe = torch.randn_like(y)
        (y * probe).sum().backward()
        (expected * probe).sum().backward()
        for found, wanted in ((x, x_theirs.grad), (ours.weight, theirs.weight.grad), (ours.bias, theirs.bias.grad)):
            assert found.grad is not None
            assert wanted is not None
            assert off(found.grad, wanted.transpose(1, 2) if wanted.ndim == 3 else wanted) <= 10 * tolerance
    assert_same_statistics(ours, theirs, tolerance)
    x = torch.randn(1, 4, 6, dtype=dtype)
    assert off(ours.eval()(x), theirs.eval()(x.transpose(1, 2)).transpose(1, 2)) <= tolerance


@each_type
def test_statistics_are_those_of_the_valid_frames(dtype: torch.dtype, tolerance: float) -> None:
    """torch's, given the valid frames alone, where ours gets them in a batch padded with NaN."""
    ours, theirs = twins(dtype)
    rows = [3 * torch.randn(n, 6, dtype=dtype) - 1 for n in LENGTHS]
    y, frames = ours(padded_with_nan(rows), torch.tensor(LENGTHS))
    expected = theirs(torch.cat(rows))
    assert frames.tolist() == LENGTHS
    assert off(torch.cat([y[i, :n] for i, n in enumerate(LENGTHS)]), expected) <= tolerance
    assert not any(y[i, n:].any() for i, n in enumerate(LENGTHS))
    assert_same_statistics(ours, theirs, tolerance)
    y.square().sum().backward()
    expected.square().sum().backward()
    for found, wanted in ((ours.weight.grad, theirs.weight.grad), (ours.bias.grad, theirs.bias.grad)):
        assert found is not None
        assert wanted is not None
        assert off(found, wanted) <= 10 * tolerance


def test_no_lengths_are_full_lengths() -> None:
    ours, _ = twins(torch.float64)
    x = torch.randn(2, 5, 6, dtype=torch.float64)
    assert torch.equal(ours(x), ours(x, torch.tensor([5, 5]))[0])


@pytest.mark.parametrize(("lengths", "count"), [([0, 0], 0), ([1, 0], 1)])
def test_fewer_than_two_valid_frames_are_an_error_in_training(lengths: list[int], count: int) -> None:
    ours, theirs = twins(torch.float32)
    before = ours.state_dict() | {"num_batches_tracked": ours.num_batches_tracked.clone()}
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        theirs(torch.randn(1, 6))
    with pytest.raises(ValueError, match=f"at least 2 valid frames to take a variance of, got {count};"):
        ours(torch.randn(2, 4, 6), torch.tensor(lengths))
    assert all(torch.equal(value, before[key]) for key, value in ours.state_dict().items())
    y, frames = ours.eval()(torch.randn(2, 4, 6), torch.tensor(lengths))
    assert frames.tolist() == lengths
    assert bool(y.any()) == bool(count)


def test_batch_norm_keeps_the_contract_in_eval_mode_and_does_not_stream_in_training() -> None:
    ours, _ = twins(torch.float32)
    assert sc.check_streaming(ours).worst <= 1e-12
    with pytest.raises(ValueError, match=r"^BatchNorm is in training mode: call \.eval\(\) before streaming\.$"):
        sc.Session(ours.train()).push(torch.randn(3, 6))


def test_training_statistics_are_whole_behind_a_tiled_layer() -> None:
    """Recalibration is training mode without gradients: tiles must not each have statistics of their own."""
    ours, theirs = twins(torch.float64)
    head = sc.Conv1d(6, 6, 3).double()
    head.tile = 10
    x = torch.randn(1, 100, 6, dtype=torch.float64).cumsum(1)
    with torch.no_grad():
        y = sc.Sequential(head, ours)(x)
        expected = theirs(head(x).transpose(1, 2)).transpose(1, 2)
    assert off(y, expected) <= 1e-12
    assert_same_statistics(ours, theirs, 1e-12)


def test_batch_norm_in_bfloat16_is_within_two_percent() -> None:
    ours, theirs = twins(torch.float64)
    x = torch.randn(3, 9, 6, dtype=torch.float64)
    expected = theirs.eval()(x.transpose(1, 2)).transpose(1, 2)
    y = ours.bfloat16().eval()(x.bfloat16()).double()
    assert (y - expected).norm() <= 0.02 * expected.norm()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": 0}, r"channels \(=0\) must be an integer >= 1"),
        ({"channels": 4, "eps": 0.0}, r"eps \(=0.0\) must be > 0"),
        ({"channels": 4, "momentum": 1.5}, r"momentum \(=1.5\) must lie in 0 \.\.\. 1"),
        ({"channels": 4, "momentum": -0.1}, r"momentum \(=-0.1\) must lie in 0 \.\.\. 1"),
    ],
)
def test_batch_norm_refuses_impossible_arguments(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BatchNorm(**settings)


def test_every_keyword_of_batch_norm_is_an_attribute() -> None:
    norm = BatchNorm(6, **SETTINGS)
    assert {name: getattr(norm, name) for name in inspect.signature(BatchNorm).parameters} == {"channels": 6} | SETTINGS
