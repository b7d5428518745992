"""A recogniser: a front-end, an acoustic model, and the logarithm of each token's probability in every frame.

    log P(token | frame) = log softmax(head(acoustic(mask(front(wav)))))

The mask, SpecAugment's, is there in training alone. Under autocast the front-end and the last logarithm stay in
float32.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

import speechconv as sc

Mask = Callable[[Tensor, Tensor], Tensor]
"""(frames, lengths) -> frames of which stretches are blotted out."""


class Recogniser(nn.Module):
    """Log probabilities of a vocabulary's tokens, frame by frame.

    Args:
        front: waveform -> frames.
        acoustic: frames -> frames, called as acoustic(frames, lengths) -> (frames, lengths).
        channels: of the acoustic model's frames.
        tokens: outputs, the blank first among them.

    Shape:
        (batch, samples), (batch,) -> (batch, frames, tokens), (batch,)
    """

    def __init__(self, front: sc.Pipeline, acoustic: nn.Module, channels: int, tokens: int) -> None:
        super().__init__()
        self.front, self.acoustic = front, acoustic
        self.head = nn.Linear(channels, tokens)

    def forward(self, wav: Tensor, lengths: Tensor, mask: Mask | None = None) -> tuple[Tensor, Tensor]:
        with torch.autocast(wav.device.type, enabled=False):  # the logarithm of a bfloat16 is off by 0.03
            frames, counts = self.front(wav, lengths)
        if mask is not None:
            frames = mask(frames, counts)
        frames, counts = self.acoustic(frames, counts)
        scores = self.head(frames)
        return scores.log_softmax(2, dtype=torch.promote_types(scores.dtype, torch.float32)), counts

    def as_pipeline(self) -> sc.Pipeline:
        """The same modules from waveform to token scores (no softmax: the best token is the same), to stream and save.

        Raises:
            TypeError: an acoustic model that is not made of this package's layers.
            ValueError: a stage of the front-end that is called as one of the acoustic model's.
        """
        if not isinstance(self.acoustic, sc.Sequential):
            raise TypeError(f"{type(self.acoustic).__name__} cannot stream; expected a speechconv.Sequential.")
        stages = dict(self.front.named_children())
        parts = {f"acoustic_{number}": layer for number, layer in enumerate(self.acoustic)} | {"head": self.head}
        if taken := stages.keys() & parts.keys():
            raise ValueError(f"stages of the front-end must not be called {', '.join(sorted(taken))}; rename them.")
        return sc.Pipeline(stages | parts, sample_rate=self.front.sample_rate)
