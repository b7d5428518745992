"""What a live stream of a module remembers, in bytes."""

from __future__ import annotations

from math import prod

import torch

from speechconv.layer import Layer
from speechconv.streamer import Streamer

COUNTERS = 2 * torch.int64.itemsize
"""Bytes of the two counters of a stream, samples fed and samples to come."""


def state_sizes(layer: Layer, channels: int, dtype: torch.dtype) -> dict[str, int]:
    """Bytes of every tensor that one stream of `layer` remembers, by its full name; the counters are not among them.

    Raises:
        NotStreamable: it cannot stream.
        ValueError: frozen statistics that were not given yet.
    """
    core = Streamer(layer, channels=channels, dtype=dtype)
    return {memory.name: prod(memory.shape) * (memory.dtype or core.dtype).itemsize for memory in core.state_spec}
