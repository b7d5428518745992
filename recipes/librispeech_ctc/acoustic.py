"""The acoustic model behind any front-end: as few frames a second as letters need, then a Conformer.

x -> layer norm -> [conv (stride 2) -> ReLU] ... -> linear -> dropout -> Conformer
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

import speechconv as sc
from recipes.librispeech_ctc.conformer import Conformer
from speechconv.checks import check_number


@dataclass(frozen=True)
class Acoustic:
    """What the acoustic model is made of.

    Args:
        channels: of its frames.
        layers: of the Conformer.
        heads: of its attention.
        feed_forward: inner channels of its feed-forward modules.
        kernel_size: of its depthwise convolutions, in frames, odd.
        dropout: share of channels that training leaves out.
        frame_rate: frames a second that the Conformer gets at most; the front-end's are halved as often as it takes.
    """

    channels: int = 256
    layers: int = 16
    heads: int = 4
    feed_forward: int = 1024
    kernel_size: int = 31
    dropout: float = 0.1
    frame_rate: float = 25.0

    def build(self, front: sc.Pipeline) -> Encoder:
        """Behind `front`.

        Raises:
            ValueError: channels that the heads do not divide, an even kernel, or no frame rate.
        """
        if self.channels % self.heads:
            raise ValueError(f"channels (={self.channels}) must be a multiple of heads (={self.heads}).")
        if not self.kernel_size % 2:
            raise ValueError(f"kernel_size (={self.kernel_size}) must be odd.")
        return Encoder(self, front.output_dim, self.factor(front))

    def num_frames(self, front: sc.Pipeline, samples: int) -> int:
        """Frames that are told tokens from, of `samples` at `front`'s rate."""
        return -(-front.output_lengths(samples) // self.factor(front))

    def factor(self, front: sc.Pipeline) -> int:
        """How many frames of `front` become one: a power of two.

        >>> Acoustic().factor(sc.Pipeline.from_preset("logmel")), Acoustic(frame_rate=100).factor(
        ...     sc.Pipeline.from_preset("logmel")
        ... )
        (4, 1)
        """
        rate, factor = front.sample_rate / front.hop_length, 1
        while rate / factor > check_number("frame_rate", self.frame_rate, above=0):
            factor *= 2
        return factor


class Encoder(nn.Module):
    """Subsampling and Conformer.

    Args:
        settings: its sizes.
        in_channels: of the front-end's frames.
        factor: how many of them become one.

    Shape:
        (batch, frames, in_channels), (batch,) -> (batch, ceil(frames / factor), channels), (batch,)
    """

    def __init__(self, settings: Acoustic, in_channels: int, factor: int) -> None:
        super().__init__()
        width = settings.channels
        fewer = [sc.ConvSubsampling(width, in_channels=in_channels, factor=factor)] if factor > 1 else []
        self.before = sc.Sequential(
            sc.LayerNorm(in_channels),
            *fewer,
            nn.Linear(width if fewer else in_channels, width),
            nn.Dropout(settings.dropout),
        )
        self.conformer = Conformer(
            width,
            heads=settings.heads,
            feed_forward=settings.feed_forward,
            layers=settings.layers,
            kernel_size=settings.kernel_size,
            dropout=settings.dropout,
        )

    def forward(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        return self.conformer(*self.before(frames, lengths))
