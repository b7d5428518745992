"""What keeps a learning ConvSTFT close to something that can be understood and inverted.

penalty = log kappa, kappa = B / A of the two-sided bank         0 for a tight frame such as Hann at n_fft / 4
drift_k = |z_k - z0_k| / |z0_k|                                  0 for the STFT it began as
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from speechconv.frontend.frame_bounds import frame_operator_eigenvalues, two_sided

SMALLEST_A = 1e-12
"""Share of B below which A counts as this: the penalty of a bank that loses something is finite, 27.6."""


@dataclass(frozen=True)
class Drift:
    """Relative change of the filters since their start.

    Attributes:
        per_bin: (n_fft // 2 + 1,) float64.
        total: over all bins.
    """

    per_bin: Tensor
    total: float


def drift(kernel: Tensor, initial: Tensor) -> Drift:
    """How far `kernel` is from `initial`, both (2 bins, n_fft): all real parts, then all imaginary ones.

    >>> drift(torch.tensor([[3.0], [4.0], [0.0], [2.0]]), torch.tensor([[3.0], [4.0], [0.0], [0.0]])).per_bin
    tensor([0.0000, 0.5000], dtype=torch.float64)
    """
    change = _bin_norms(kernel.detach().double() - initial.double())
    size = _bin_norms(initial.double())
    return Drift(change / size, float(change.norm() / size.norm()))


def _bin_norms(kernel: Tensor) -> Tensor:
    return torch.complex(*kernel.chunk(2)).abs().square().sum(1).sqrt()


def log_kappa(kernel: Tensor, hop: int) -> Tensor:
    """log B / A of the two-sided bank on a grid of 4 n_fft / hop frequencies; differentiable, a float64 scalar.

    Its gradient is finite where eigenvalues coincide, as in a tight frame: eigenvalues alone need no division by
    their distances.
    """
    points = 4 * -(-kernel.shape[1] // hop) + 1
    eigenvalues = frame_operator_eigenvalues(two_sided(*kernel.chunk(2)), hop, points)
    largest = eigenvalues.amax().clamp(min=torch.finfo(torch.float64).tiny)  # a silent bank has no logarithm
    return largest.log() - torch.maximum(eigenvalues.amin(), SMALLEST_A * largest).log()


def groups_by_meaning(layer: nn.Module, lr: float, weight_decay: float, scale: float) -> list[dict[str, Any]]:
    """Optimiser groups of a layer's parameters: deviations that start at 0 decay to it; filters themselves do not.

    Args:
        layer: a ConvSTFT.
        lr: size of a relative step: Adam at 1e-3 moves a filter by about 0.1 % of itself.
        weight_decay: of deviations, so that it leads back to the STFT.
        scale: root mean square of the filters, by which the learning rate of filters themselves is multiplied.
    """
    groups: list[dict[str, Any]] = []
    for name, parameter in layer.named_parameters():
        if name.endswith("delta"):
            groups.append({"params": [parameter], "lr": lr, "weight_decay": weight_decay})
        else:
            groups.append({"params": [parameter], "lr": lr * scale, "weight_decay": 0.0})
    return groups
