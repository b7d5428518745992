"""A floor relative to the loudest value of an utterance.

y[t, c] = max(x[t, c], max x - top)          the maximum over all valid frames and channels of the row
"""

from __future__ import annotations

import torch
from torch import Tensor

from speechconv.checks import check_number
from speechconv.layer import Layer
from speechconv.layout import check_real, zero_past
from speechconv.plan import Edge, NotStreamable, Plan


class DynamicRange(Layer):
    """Raises what lies more than `top` below the utterance's maximum.

    Args:
        top: distance from the maximum to the floor, in the unit of the input, >= 0: 80.0 for decibels (librosa's
            top_db), 8.0 for Whisper's log10.

    Shape:
        (batch, frames, channels) -> the same

    Raises:
        ValueError: an argument outside its range.

    Source: librosa.power_to_db (top_db); Radford et al. 2022 (Whisper, arXiv 2212.04356), log_mel_spectrogram. Each row
    has a maximum of its own, unlike torchaudio's top_db, which takes one for the whole batch.

    Example:
        >>> DynamicRange(top=80.0)(torch.tensor([[[0.0, -100.0], [-30.0, -80.0]]]))
        tensor([[[  0., -80.],
                 [-30., -80.]]])
    """

    def __init__(self, *, top: float = 80.0) -> None:
        super().__init__()
        check_number("top", top, least=0)
        self.top = top

    def offline(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        check_real(x, "DynamicRange")
        if not x.numel():
            return x
        seen = x
        if lengths is not None:
            real = torch.arange(x.shape[1], device=x.device) < lengths[:, None]
            seen = torch.where(real[..., None], x, torch.tensor(-torch.inf, dtype=x.dtype, device=x.device))
        y = torch.maximum(x, seen.amax((1, 2), keepdim=True) - self.top)
        return y if lengths is None else zero_past(y, lengths)

    def valid(self, x: Tensor) -> Tensor:
        return self.offline(x, None)

    def plan(self, edge: Edge, path: str = "") -> Plan:
        raise NotStreamable(
            path,
            "DynamicRange takes its maximum from the whole utterance.",
            ["a fixed floor: Log(floor=...) without this stage", "PCEN", "forward on the whole waveform, or extract"],
        )

    def extra_repr(self) -> str:
        return f"top={self.top}"
