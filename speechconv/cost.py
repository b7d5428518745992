"""What a pipeline is made of, stage by stage: shapes, parameters, receptive field, stride and lookahead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from speechconv.combine import Parallel, Residual, Sequential, named_parts
from speechconv.geometry import Geometry
from speechconv.layer import Layer, channels_after, geometry_of, num_frames_of
from speechconv.layout import WAVEFORM, axes
from speechconv.plan import NotStreamable
from speechconv.streamer import Streamer

HEADINGS = ("stage", "layer", "output shape", "parameters", "stride", "receptive field", "lookahead")


@dataclass(frozen=True)
class Stage:
    """One row: a stage, and the chain up to and including it.

    Attributes:
        name: the stage's name in the pipeline.
        kind: its class.
        shape: of its output for the described input, batch axis left out: (frames, channels).
        parameters: of this stage alone.
        geometry: of the chain so far, in input samples.
        parts: what a Residual or Parallel joins, in order; its parameters count in the stage's too.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    geometry: Geometry
    parts: tuple[Stage, ...] = ()


@dataclass(frozen=True)
class Description:
    """Stages in the order of the signal; `str()` is a table, lookahead in samples and milliseconds, with the parts of a
    stage indented behind it.

    Attributes:
        num_samples: of the input that shapes are given for.
        sample_rate: Hz; None for frame layers.
        stages: one behind the other.
        obstacle: why it cannot stream, and what could; None where it can.
    """

    num_samples: int
    sample_rate: int | None
    stages: tuple[Stage, ...]
    obstacle: str | None = None

    def __str__(self) -> str:
        rows = [HEADINGS, *self._rows(self.stages)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        notes = () if self.obstacle is None else ("", f"not live: {self.obstacle}")
        return "\n".join(line.rstrip() for line in (self._title(), "", *lines, *notes))

    def _title(self) -> str:
        rate = "" if self.sample_rate is None else f" at {self.sample_rate} Hz"
        return f"input: {self.num_samples} samples{rate}"

    def _rows(self, stages: Sequence[Stage], indent: str = "") -> Iterator[tuple[str, ...]]:
        for stage in stages:
            yield self._row(stage, indent)
            yield from self._rows(stage.parts, f"{indent}  ")

    def _row(self, stage: Stage, indent: str) -> tuple[str, ...]:
        g = stage.geometry
        return (
            indent + stage.name,
            indent + stage.kind,
            str(stage.shape),
            f"{stage.parameters:,}",
            self._span(g.stride),
            self._span(g.receptive_field),
            self._span(g.lookahead),
        )

    def _span(self, samples: int) -> str:
        if self.sample_rate is None:
            return str(samples)
        return f"{samples} ({1000 * samples / self.sample_rate:.4g} ms)"


def describe(module: Layer, num_samples: int | None = None) -> Description:
    """What `module` is made of, stage by stage.

    Args:
        module: a pipeline, or any layer that takes a waveform or a fixed number of channels.
        num_samples: samples (or frames) of the input that shapes are given for; None: one second of a pipeline's.

    Raises:
        TypeError: no layer of speechconv.
        ValueError: no num_samples for a module without a sample rate, a negative one, or a module that takes any number
            of channels.

    Example:
        >>> import speechconv as sc
        >>> print(describe(sc.Pipeline.from_preset("logmel")))
        input: 16000 samples at 16000 Hz
        <BLANKLINE>
        stage  layer     output shape  parameters  stride       receptive field  lookahead
        stft   ConvSTFT  (101, 201)    0           160 (10 ms)  400 (25 ms)      199 (12.44 ms)
        mel    Mel       (101, 80)     0           160 (10 ms)  400 (25 ms)      199 (12.44 ms)
        log    Log       (101, 80)     0           160 (10 ms)  400 (25 ms)      199 (12.44 ms)
    """
    if not isinstance(module, Layer):
        raise TypeError(f"expected a speechconv layer or pipeline, got {type(module).__name__}.")
    sample_rate = getattr(module, "sample_rate", None) if module.in_channels == WAVEFORM else None
    num_samples = sample_rate if num_samples is None else num_samples
    if num_samples is None:
        raise ValueError(f"{type(module).__name__} has no sample rate; pass num_samples.")
    if num_samples < 0:
        raise ValueError(f"num_samples (={num_samples}) must be >= 0.")
    if module.in_channels is None:
        raise ValueError(f"{type(module).__name__} takes any number of channels, so it has no shapes of its own.")
    return Description(num_samples, sample_rate, _stages(module, num_samples), _obstacle(module))


def _obstacle(module: Layer) -> str | None:
    """Why `module` cannot stream, in its own words."""
    try:
        Streamer(module)
    except NotStreamable as error:
        return str(error)
    except ValueError:  # frozen statistics that were not given yet
        return None
    return None


def _stages(module: Layer, num_samples: int) -> tuple[Stage, ...]:
    geometry, channels = Geometry(), module.in_channels or WAVEFORM
    return tuple(_chain(_parts(module), geometry, channels, num_samples))


def _chain(parts: Sequence[tuple[str, nn.Module]], geometry: Geometry, channels: int, frames: int) -> Iterator[Stage]:
    """A row for each of `parts`, one behind the other, all behind a chain of that geometry, channels and frames."""
    for name, layer in parts:
        inner = tuple(stage for chain in _joined(layer) for stage in _chain(chain, geometry, channels, frames))
        geometry, channels = geometry.then(geometry_of(layer)), channels_after(layer, channels)
        parameters = sum(p.numel() for p in layer.parameters())
        frames = num_frames_of(layer, frames)
        shape = axes(frames, channels)
        yield Stage(name, type(layer).__name__, shape, parameters, geometry, inner)


def _parts(module: Layer) -> list[tuple[str, nn.Module]]:
    """The stages of a chain; anything else is one stage."""
    return named_parts(module) if isinstance(module, Sequential) else [("", module)]


def _joined(layer: nn.Module) -> list[list[tuple[str, nn.Module]]]:
    """The chains that a skip or parallel branches join, their parts under the names of `named_modules`."""
    if not isinstance(layer, Residual | Parallel):
        return []
    return [
        [(f"{name}.{inner}", part) for inner, part in named_parts(branch)]
        if type(branch) is Sequential
        else [(name, branch)]
        for name, branch in named_parts(layer)
    ]
