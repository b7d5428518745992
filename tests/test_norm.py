"""LayerNorm against torch's."""

from __future__ import annotations

import pytest
import torch

import speechconv as sc


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
