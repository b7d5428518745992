"""What a short training did: the losses of its steps, and how far the encoder's weights moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

FEW = 5
"""Steps at either end whose mean loss is told: one batch is harder than another."""


@dataclass(frozen=True)
class Outcome:
    """Of one training.

    Attributes:
        losses: of every step.
        change: distance of the encoder's weights from where they began, as a share of their length then.
    """

    losses: Sequence[float]
    change: float

    @property
    def first(self) -> float:
        return sum(self.losses[:FEW]) / FEW

    @property
    def last(self) -> float:
        return sum(self.losses[-FEW:]) / FEW

    def __str__(self) -> str:
        return (
            f"loss {self.first:.2f} -> {self.last:.2f} in {len(self.losses)} steps; "
            f"encoder weights moved by {100 * self.change:.1f} %"
        )


def weights_of(encoder: nn.Module) -> Tensor:
    """All parameters in one row, copied."""
    return torch.cat([parameter.detach().flatten() for parameter in encoder.parameters()])


def outcome(losses: Sequence[float], before: Tensor, encoder: nn.Module) -> Outcome:
    """What became of the encoder whose weights were `before`."""
    return Outcome(losses, float((weights_of(encoder) - before).norm() / before.norm()))
