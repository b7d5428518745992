"""Training on the valid frames alone, against torch's own modules on each row by itself."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import speechconv as sc
from speechconv.gathered import gathered_runs
from speechconv.layers.families.conv_block import ConvBlock
from speechconv.layers.families.separable import SeparableConv
from speechconv.norm import BatchNorm

LENGTHS = [7, 0, 12, 1]


def padded(rows: list[Tensor], filler: float) -> Tensor:
    batch = torch.full((len(rows), max(map(len, rows)) + 3, rows[0].shape[1]), filler, dtype=rows[0].dtype)
    for place, row in zip(batch, rows, strict=True):
        place[: len(row)] = row
    return batch


def separable_by_rows(layer: SeparableConv, rows: list[Tensor]) -> list[Tensor]:
    """Each row convolved by itself, and the frames of all of them normalised together, by torch's own."""
    weights, lengths = dict(layer.named_parameters()), list(map(len, rows))

    def norm(frames: Tensor, part: str) -> Tensor:
        weight, bias = weights[f"{part}.normalise.weight"], weights[f"{part}.normalise.bias"]
        return F.batch_norm(frames, None, None, weight, bias, training=True).relu()

    depthwise, pads = weights["depthwise.conv.weight"], (layer.kernel_size // 2,) * 2
    columns = [F.pad(row.T[None], pads) for row in rows if len(row)]
    frames = torch.cat([F.conv1d(column, depthwise, groups=len(depthwise))[0].T for column in columns])
    frames = norm(frames, "depthwise") @ weights["pointwise.conv.weight"][:, :, 0].T
    return list(norm(frames, "pointwise").split(lengths))


@pytest.mark.parametrize("filler", [0.0, float("nan")])
@pytest.mark.parametrize("lengths", [LENGTHS, [5, 5], [1, 1, 1], [0, 3]], ids=str)
def test_a_padded_batch_trains_as_its_rows_do(lengths: list[int], filler: float) -> None:
    """Outputs and the gradients of every weight, through two convolutions with pads."""
    first, second = SeparableConv(6, 9, 5), SeparableConv(9, 4, 3)
    layer = sc.Sequential(first, second).double()
    rows = [torch.randn(n, 6, dtype=torch.float64) for n in lengths]
    y, frames = layer(padded(rows, filler), torch.tensor(lengths))
    expected = torch.cat(separable_by_rows(second, separable_by_rows(first, rows)))
    assert frames.tolist() == lengths
    found = torch.cat([y[i, :n] for i, n in enumerate(lengths)])
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 1e-12
    assert not any(y[i, n:].any() for i, n in enumerate(lengths))
    probe = torch.randn_like(expected)
    ours = torch.autograd.grad((found * probe).sum(), list(layer.parameters()))
    theirs = torch.autograd.grad((expected * probe).sum(), list(layer.parameters()))
    for own, other in zip(ours, theirs, strict=True):
        assert (own - other).abs().max() <= 1e-11 * other.abs().max().clamp(min=1)


def test_gradients_reach_the_valid_frames_of_the_input_alone() -> None:
    layer = sc.Sequential(nn.Linear(4, 4), BatchNorm(4), nn.ReLU()).double()
    x = torch.randn(2, 6, 4, dtype=torch.float64, requires_grad=True)
    y, _ = layer(x, torch.tensor([6, 2]))
    (gradient,) = torch.autograd.grad((y * torch.randn_like(y)).sum(), x)
    assert gradient[0].any(1).all()
    assert gradient[1, :2].any(1).all()
    assert not gradient[1, 2:].any()


def frames_seen(layer: sc.Sequential, linear: nn.Module) -> int:
    """How many frames `linear` takes of a batch with 20 valid ones among 60."""
    seen: list[int] = []
    handle = linear.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].shape[:2].numel()))
    layer(torch.randn(4, 15, 4), torch.tensor(LENGTHS))
    handle.remove()
    return seen[0]


def test_a_layer_beside_a_norm_takes_the_valid_frames_alone() -> None:
    """In training; where no norm gathers them, what the batch is padded with goes along."""
    linear = nn.Linear(4, 4)
    chain = sc.Sequential(linear, sc.Sequential(BatchNorm(4), nn.ReLU()))
    assert frames_seen(chain, linear) == sum(LENGTHS)
    assert frames_seen(chain.eval(), linear) == 60
    assert frames_seen(sc.Sequential(linear, nn.ReLU()), linear) == 60


def test_neighbours_share_one_gathering() -> None:
    conv, norm, relu, linear = sc.Conv1d(4, 4, 3), BatchNorm(4), nn.ReLU(), nn.Linear(4, 4)
    assert list(gathered_runs([conv, norm, relu, linear, conv, relu, linear])) == [
        [conv],
        [norm, relu, linear],
        [conv],
        [relu],
        [linear],
    ]
    strided = ConvBlock(4, 4, 1, stride=2)
    assert list(gathered_runs([norm, strided, norm])) == [[norm], [strided], [norm]]
    causal = sc.Conv1d(4, 4, 3, padding="causal")
    assert list(gathered_runs([norm, causal, causal, linear, causal])) == [[norm, causal], [causal], [linear], [causal]]
    norm.eval()
    assert list(gathered_runs([norm, relu])) == [[norm], [relu]]
