"""The small acoustic model behind every front-end: 50 frames a second out of 100 or 50, then Conformer convolutions.

x -> batch norm -> conv (stride 2 or 1) -> batch norm -> ReLU -> [x + conformer(x)] ... -> layer norm
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

import speechconv as sc


@dataclass(frozen=True)
class Acoustic:
    """What the acoustic model is made of.

    Args:
        channels: of its frames.
        blocks: Conformer convolution modules.
        kernel_size: of each, in frames of 20 ms.
        dropout: share of channels that training leaves out.
        padding: "same" looks ahead as far as back; "causal" looks back alone.
    """

    channels: int = 96
    blocks: int = 4
    kernel_size: int = 15
    dropout: float = 0.1
    padding: Literal["same", "causal"] = "same"

    def build(self, in_channels: int, stride: int) -> sc.Sequential:
        """For a front-end of `in_channels` and 50 `stride` frames a second."""
        width, padding = self.channels, self.padding
        return sc.Sequential(
            sc.BatchNorm(in_channels),
            sc.Conv1d(in_channels, width, 5, stride=stride, padding=padding, bias=False),
            sc.BatchNorm(width),
            nn.ReLU(),
            nn.Dropout(self.dropout),
            *(sc.Residual(self._block()) for _ in range(self.blocks)),
            sc.LayerNorm(width),
        )

    def _block(self) -> sc.ConformerConvModule:
        return sc.ConformerConvModule(
            self.channels, kernel_size=self.kernel_size, padding=self.padding, dropout=self.dropout
        )
