"""ESPnet's own blocks are the judges of ours, with its weights: make test-toolkits."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch

import speechconv as sc
from tests.layers.families.judges import EXACT, off

# In a venv of its own, which pyright does not see.
# pyright: reportMissingImports=false
if not find_spec("espnet2"):
    pytest.skip("ESPnet is not installed: make test-toolkits", allow_module_level=True)

from espnet.nets.pytorch_backend.transformer.lightconv import LightweightConvolution
from espnet2.asr.layers.cgmlp import ConvolutionalGatingMLP


def drawn(module: torch.nn.Module) -> torch.nn.Module:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    return module.double().eval()


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("kernel_size", [1, 31])
def test_the_gating_mlp_is_theirs(kernel_size: int, linear: bool) -> None:
    theirs = drawn(ConvolutionalGatingMLP(12, 32, kernel_size, 0.0, linear, "identity"))
    ours = sc.ConvGatingMLP(12, hidden_channels=32, kernel_size=kernel_size, linear=linear, eps=1e-12).double()
    own, others = dict(ours.named_parameters()), dict(theirs.named_parameters())
    names = {
        "expand": "channel_proj1.0",
        "unit.gated.1.1": "csgu.norm",
        "unit.gated.1.2": "csgu.conv",
        "unit.gated.1.3": "csgu.linear",
        "project": "channel_proj2",
    }
    with torch.no_grad():
        for name, parameter in own.items():
            part, _, kind = name.rpartition(".")
            parameter.copy_(others[f"{names[part]}.{kind}"])
    x = torch.randn(2, 40, 12, dtype=torch.float64)
    assert off(ours(x), theirs(x, None)) <= EXACT


@pytest.mark.parametrize("heads", [1, 4])
def test_the_lightweight_convolution_is_theirs_between_other_channels(heads: int) -> None:
    """Their channel c is of head c mod H, so ours takes and gives them in another order; see `LightweightConv`."""
    theirs = drawn(LightweightConvolution(heads, 12, 0.0, 7, use_bias=True))
    ours = sc.LightweightConvModule(12, kernel_size=7, heads=heads).double()
    order = torch.arange(12).unflatten(0, (-1, heads)).T.flatten()
    with torch.no_grad():
        own, others = dict(ours.named_parameters()), dict(theirs.named_parameters())
        own["pointwise_in.weight"].copy_(others["linear1.weight"].unflatten(0, (2, -1))[:, order].flatten(0, 1))
        own["pointwise_in.bias"].copy_(others["linear1.bias"].unflatten(0, (2, -1))[:, order].flatten(0, 1))
        own["lightweight.weight"].copy_(others["weight"].flatten(1))
        own["lightweight.bias"].copy_(others["bias"][order])
        own["pointwise_out.weight"].copy_(others["linear2.weight"][:, order])
        own["pointwise_out.bias"].copy_(others["linear2.bias"])
    x = torch.randn(2, 40, 12, dtype=torch.float64)
    assert off(ours(x), theirs(x, x, x, None)) <= EXACT
