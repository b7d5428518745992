"""What a short training did: the losses of its steps, and how far the filters on the waveform moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

import speechconv as sc

FEW = 5
"""Steps at either end whose mean loss is told: one batch is harder than another."""


@dataclass(frozen=True)
class Outcome:
    """Of one training.

    Attributes:
        losses: of every step.
        change: distance of the filters from where they began, as a share of their length then.
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
            f"filters moved by {100 * self.change:.1f} %"
        )


def filters_of(encoder: nn.Module) -> Tensor:
    """What an encoder holds against the waveform: kernels of its STFT, or weights of its first convolution; copied."""
    for part in encoder.modules():
        if isinstance(part, sc.ConvSTFT):
            return part.kernel.detach().clone()
    return next(encoder.parameters()).detach().clone()


def outcome(losses: Sequence[float], before: Tensor, encoder: nn.Module) -> Outcome:
    """What became of the encoder whose filters were `before`."""
    return Outcome(losses, float((filters_of(encoder) - before).norm() / before.norm()))
