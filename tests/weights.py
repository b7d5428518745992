"""Random weights for any layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import speechconv as sc


@torch.no_grad()
def fill(net: nn.Module, exact: bool, seed: int) -> None:
    """Weights, biases and running statistics, none of them zero: small integers in convolutions and norms, or real
    numbers that keep the signal's size."""
    generator = torch.Generator().manual_seed(seed)
    for module in net.modules():
        if exact and not isinstance(module, sc.Conv1d | nn.LayerNorm | sc.LayerNorm):
            continue
        buffers = () if exact else module.named_buffers(recurse=False)
        for name, tensor in (*module.named_parameters(recurse=False), *buffers):
            if exact:
                sign = torch.randint(0, 2, tensor.shape, generator=generator) * 2 - 1
                tensor.copy_(sign * torch.randint(1, 3, tensor.shape, generator=generator))
            elif name in _REAL:
                tensor.copy_(_REAL[name](tensor, torch.randn(tensor.shape, generator=generator)))
            elif isinstance(tensor, nn.Parameter):
                tensor.add_(0.1 * torch.randn(tensor.shape, generator=generator))  # what starts at zero: *_delta
        if isinstance(module, sc.ConvPositionalEmbedding):
            module.weight_g.mul_(torch.linalg.vector_norm(module.weight_v, dim=(0, 1), keepdim=True))


def _scaled(tensor: Tensor, noise: Tensor) -> Tensor:
    return noise / (tensor[0].numel() if tensor.ndim > 1 else 1) ** 0.5


def _level(_: Tensor, noise: Tensor) -> Tensor:
    return 0.5 * noise


def _spread(_: Tensor, noise: Tensor) -> Tensor:
    return 1.5 + noise.tanh()


_REAL = {
    "weight": _scaled,
    "bias": _scaled,
    "weight_v": _scaled,
    "weight_g": _spread,
    "running_mean": _level,
    "running_var": _spread,
    "frozen_mean": _level,
    "frozen_var": _spread,
}
