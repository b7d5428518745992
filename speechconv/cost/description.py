"""The cost sheet of a module: its rows, and the totals that follow from them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

import torch

from speechconv.cost.rules import Shape
from speechconv.cost.stage import Stage
from speechconv.cost.streaming import COUNTERS

GFLOPS = 10.0
"""Floating-point operations a second, in 10^9, that a device is taken to keep up: a round number, to be replaced by
one's own."""


@dataclass(frozen=True)
class Description:
    """What a module costs, layer by layer and in all; `str()` is a table. What the words mean: `speechconv.cost`.

    Attributes:
        input_shape: of the described input, batch axis left out; the batch is 1.
        num_samples: samples or frames of the described input; None for torch's modules, whose axes have no names.
        sample_rate: Hz; None for frames and for torch's modules.
        dtype: of the input and, where they do not say otherwise, of all activations.
        gflops: floating-point operations a second, in 10^9, of the device that is timed.
        stages: the layers of a chain in the order of the signal; a module of one piece is one stage.
        total: the row of the whole module.
        unknown: what has no rule, and is not counted; totals are then "at least".
        obstacle: why it cannot stream, and what could or is missing; None where it can, and for torch's modules.
        training_obstacle: why the memory of training could not be told; None where it could.
    """

    input_shape: Shape
    num_samples: int | None
    sample_rate: int | None
    dtype: torch.dtype
    gflops: float
    stages: tuple[Stage, ...]
    total: Stage
    unknown: tuple[str, ...] = ()
    obstacle: str | None = None
    training_obstacle: str | None = None

    @property
    def seconds(self) -> float | None:
        """Of audio in the described input."""
        if self.num_samples is None or self.sample_rate is None:
            return None
        return self.num_samples / self.sample_rate

    @property
    def input_bytes(self) -> int:
        return prod(self.input_shape) * self.dtype.itemsize

    @property
    def forward_bytes(self) -> int:
        """The input, and the outputs of all layers."""
        return self.input_bytes + self.total.activation_bytes

    @property
    def state_bytes(self) -> int | None:
        """Of one live stream: all its layers remember, and its two counters; None where it cannot stream."""
        return None if self.total.state_bytes is None else self.total.state_bytes + COUNTERS

    @property
    def seconds_of_work(self) -> float:
        """For the described input, at `gflops`."""
        return 2 * self.total.multiply_adds / (self.gflops * 1e9)

    @property
    def real_time_factor(self) -> float | None:
        """Seconds of work for each second of audio, at `gflops`; None without a sample rate."""
        rate = self.total.multiply_adds_per_second
        return None if rate is None else 2 * rate / (self.gflops * 1e9)

    def to_json(self) -> str:
        """All figures, unrounded, in bytes and samples, as one object.

        input               the described input
          shape             batch axis left out
          dtype             such as "float32"
          bytes             `input_bytes`
          sample_rate       Hz, or null
          seconds           of audio, or null
        gflops              of the device that is timed
        stages              a row for each layer: attributes of `Stage` by their names, and multiply_adds; `parts` are
                            rows too, `geometry` the attributes of `Geometry` and its lookahead, or null
        total               the row of the whole, without parts; and forward_bytes, state_bytes (with the counters of a
                            stream), seconds_of_work and real_time_factor of this class
        at_least            true where something is unknown: multiply-adds and outputs are then at least what stands
                            here, training_bytes and peak_bytes those of meta tensors
        unknown             names of what has no rule
        not_live            `obstacle`
        training_not_told   `training_obstacle`
        """
        whole = _row(self.total) | {
            "forward_bytes": self.forward_bytes,
            "state_bytes": self.state_bytes,
            "seconds_of_work": self.seconds_of_work,
            "real_time_factor": self.real_time_factor,
        }
        del whole["parts"]
        sheet = {
            "input": {
                "shape": self.input_shape,
                "dtype": str(self.dtype).removeprefix("torch."),
                "bytes": self.input_bytes,
                "sample_rate": self.sample_rate,
                "seconds": self.seconds,
            },
            "gflops": self.gflops,
            "stages": [_row(stage) for stage in self.stages],
            "total": whole,
            "at_least": bool(self.unknown),
            "unknown": self.unknown,
            "not_live": self.obstacle,
            "training_not_told": self.training_obstacle,
        }
        return json.dumps(sheet, indent=2)

    def to_markdown(self) -> str:
        """The table and the totals in Markdown."""
        from speechconv.cost.table import as_markdown

        return as_markdown(self)

    def __str__(self) -> str:
        from speechconv.cost.table import as_text

        return as_text(self)


def _row(stage: Stage) -> dict[str, Any]:
    row = {key: value for key, value in vars(stage).items() if key not in ("parts", "geometry")}
    geometry = None if stage.geometry is None else asdict(stage.geometry) | {"lookahead": stage.geometry.lookahead}
    return row | {
        "multiply_adds": stage.multiply_adds,
        "geometry": geometry,
        "parts": [_row(part) for part in stage.parts],
    }
