"""A waveform of at least so many samples: Whisper's encoder always sees 30 seconds.

y = x, then zeros up to num_samples; a longer x stays as it is
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from speechconv.checks import check_count
from speechconv.layer import Layer
from speechconv.layout import WAVEFORM, pad, zero_past
from speechconv.plan import Edge, NotStreamable, Plan


class MinimumLength(Layer):
    """Zeros behind a waveform that is shorter than `num_samples`; they count as real from there on.

    Args:
        num_samples: fewest samples that go out, >= 1.

    Shape:
        (batch, samples) -> (batch, max(samples, num_samples)); no samples stay none, as everywhere

    Raises:
        ValueError: an argument outside its range.

    Source: WhisperFeatureExtractor of transformers: padding="max_length", truncation=False.

    Example:
        >>> import torch
        >>> y, lengths = MinimumLength(4)(torch.ones(2, 5), torch.tensor([5, 2]))
        >>> y.sum(1), lengths
        (tensor([5., 2.]), tensor([5, 4]))
    """

    in_channels = out_channels = WAVEFORM
    resizes = True

    def __init__(self, num_samples: int = 480_000) -> None:
        super().__init__()
        self.num_samples = check_count("num_samples", num_samples)

    def num_frames(self, num_samples: Any) -> Any:
        if isinstance(num_samples, int):
            return max(num_samples, self.num_samples) if num_samples > 0 else 0
        return num_samples.clip(min=self.num_samples) * (num_samples > 0)

    def offline(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        x = x if lengths is None else zero_past(x, lengths)
        return pad(x, 0, self.num_frames(x.shape[1]) - x.shape[1])

    def valid(self, x: Tensor) -> Tensor:
        return self.offline(x, None)

    def plan(self, edge: Edge, path: str = "") -> Plan:
        raise NotStreamable(
            path,
            f"MinimumLength fills up to {self.num_samples} samples, and a stream's length is known at its end only.",
            ["the pipeline without this stage", "forward on the whole waveform, or extract"],
        )

    def extra_repr(self) -> str:
        return f"{self.num_samples}"
