"""MLPConv: the paper's perceptron on each patch, frame by frame, is the judge."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import speechconv as sc
from tests.layers.families.judges import EXACT, assert_equal_blocks, off


def by_the_equation(layer: sc.MLPConv, x: Tensor) -> Tensor:
    """Equation 2: a perceptron sees one patch, and goes on to the next; pads are zeros."""
    left, right = layer.geometry.pad_left, layer.geometry.pad_right
    channels = x.shape[1]
    x = torch.cat((x.new_zeros(left, channels), x, x.new_zeros(right, channels)))
    answers = []
    for start in range(0, len(x) - layer.kernel_size + 1, layer.stride):
        f = x[start : start + layer.kernel_size].T.flatten()
        for conv in list(layer)[::2]:
            assert isinstance(conv, sc.Conv1d)
            bias = conv.get_parameter("bias")
            f = torch.stack([(w.flatten() @ f + b).clip(min=0) for w, b in zip(conv.weight, bias, strict=True)])
        answers.append(f)
    return torch.stack(answers)


@pytest.mark.parametrize(
    "options", [{}, {"hidden_channels": (7,), "stride": 2, "padding": "causal"}, {"padding": "valid"}]
)
def test_it_is_a_perceptron_that_slides_over_the_frames(options: dict[str, Any]) -> None:
    layer = sc.MLPConv(3, 5, 4, **options).double()
    x = torch.randn(13, 3, dtype=torch.float64)
    assert off(layer(x[None])[0], by_the_equation(layer, x)) <= EXACT


def test_it_is_the_papers_first_layer_in_torchs_modules() -> None:
    """192, 160 and 96 filters of 5, the network of the paper's repository for CIFAR-10."""
    convs = [nn.Conv2d(3, 192, 5, padding=2), nn.Conv2d(192, 160, 1), nn.Conv2d(160, 96, 1)]
    theirs = nn.Sequential(*(part for conv in convs for part in (conv, nn.ReLU())))
    assert_equal_blocks(sc.MLPConv(3, 96, 5, hidden_channels=(192, 160)), theirs)


def test_the_default_has_two_hidden_layers() -> None:
    assert [conv.out_channels for conv in list(sc.MLPConv(3, 8, 5))[::2]] == [8, 8, 8]


@pytest.mark.parametrize(
    ("hidden", "message"),
    [
        ((), r"^hidden_channels \(=\(\)\) must be a tuple of integers >= 1, or None\.$"),
        (5, r"^hidden_channels \(=5\) must be a tuple of integers >= 1, or None\.$"),
        ([3, 0], r"^hidden_channels\[1\] \(=0\) must be an integer >= 1\.$"),
    ],
)
def test_hidden_channels_must_be_a_tuple_of_counts(hidden: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sc.MLPConv(3, 8, 5, hidden_channels=hidden)
