"""Width: more channels, or fewer, in every stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from speechconv.checks import check_count, check_flag, check_number
from speechconv.combine import Parallel, Residual
from speechconv.layer import channels_after
from speechconv.scaling.stage import WHERE, Stage, Tables, built, read_stages
from speechconv.stages import PARTS, Table, handed_down_by, parameters_of


def scale_width(
    tables: Tables, multiplier: float, *, divisor: int = 8, keep_output: bool = False, sample_rate: int = 16000
) -> list[Table]:
    """The stages with `multiplier` times as many channels, but for those that come in.

    Args:
        tables: of the stages, as in a preset.
        multiplier: > 0; 1 changes nothing.
        divisor: each number of channels becomes the nearest multiple of it, never more than a tenth below; >= 1. The
            groups of grouped convolutions must divide what becomes of their channels.
        keep_output: let the last stage give as many channels as before, where those are classes, say.
        sample_rate: of the pipeline, Hz, for stages that are made for one.

    A depthwise convolution stays one, and what stands under a skip keeps to the channels of its input.

    Raises:
        ValueError: an argument outside its range, tables that describe no stages, or channels that do not fit.

    Source: Howard et al. 2017, "MobileNets", arXiv 1704.04861, section 3.3; the rounding is its code's.

    Example:
        >>> tables = [
        ...     {"stage": "conv1d", "in_channels": 80, "out_channels": 64, "kernel_size": 3},
        ...     {"stage": "inverted_residual", "in_channels": 64, "out_channels": 64},
        ...     {"stage": "linear", "in_features": 64, "out_features": 29},
        ... ]
        >>> for table in scale_width(tables, 0.5, keep_output=True):
        ...     print(table)
        {'stage': 'conv1d', 'in_channels': 80, 'out_channels': 32, 'kernel_size': 3}
        {'stage': 'inverted_residual', 'in_channels': 32, 'out_channels': 32}
        {'stage': 'linear', 'in_features': 32, 'out_features': 29}
    """
    check_number("multiplier", multiplier, above=0)
    check_count("divisor", divisor)
    check_flag("keep_output", keep_output)
    stages = read_stages(tables, sample_rate)
    if multiplier == 1 or not stages:
        return [dict(stage.table) for stage in stages]
    width = Width(multiplier, divisor)
    target = stages[-1].gives if keep_output else None
    return width.chain(stages, stages[0].takes, target, {"sample_rate": sample_rate})


def round_channels(channels: float, divisor: int = 8) -> int:
    """The multiple of `divisor` nearest to `channels`, at least one of it and never more than a tenth below.

    >>> round_channels(24 * 0.75), round_channels(11.9), round_channels(3)
    (24, 16, 8)
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


@dataclass(frozen=True)
class Width:
    """The rule for one number of channels, and how it is carried through chains and compositions of stages."""

    multiplier: float
    divisor: int

    def rounded(self, channels: int) -> int:
        return round_channels(self.multiplier * channels, self.divisor)

    def chain(
        self, stages: Sequence[Stage], channels: int, target: int | None, context: Mapping[str, Any]
    ) -> list[Table]:
        """Tables of a chain that takes `channels` and gives `target`, if that is not None."""
        setters = [number for number, stage in enumerate(stages) if stage.sets_output]
        scaled: list[Table] = []
        for number, stage in enumerate(stages):
            goal = None
            if target is not None and number == max(setters, default=None):
                goal = target * stage.gives // stages[-1].gives  # a GLU behind it halves them
            scaled.append(self.table(stage, channels, goal, context))
            layer = built(scaled[-1], context)
            channels = channels_after(layer, channels)
            context = {**context, **handed_down_by(layer)}
        if target not in (None, channels):
            raise ValueError(
                f"{WHERE} give {channels} channels where {target} must go out; end them with a linear stage."
            )
        return scaled

    def table(self, stage: Stage, channels: int, goal: int | None, context: Mapping[str, Any]) -> Table:
        """The table of a stage that takes `channels` and gives `goal`; None: as many as it should."""
        if type(stage.layer) in PARTS:
            return self.composition(stage, channels, goal, context)
        scaled = dict(stage.table)
        for key in parameters_of(type(stage.layer)):
            value = stage.value(key) if key.endswith(("channels", "features")) else None
            if value is None or key == "condition_channels":
                continue
            if key == stage.input_key:
                wanted = channels - getattr(stage.layer, "condition_channels", 0)
            elif key == stage.output_key:
                wanted = goal or self.output(stage, channels)
            else:
                wanted = [self.rounded(c) for c in value] if isinstance(value, tuple) else self.rounded(value)
            if wanted != value:
                scaled[key] = wanted
        if stage.depthwise:
            scaled["groups"] = channels
        return scaled

    def output(self, stage: Stage, channels: int) -> int:
        if stage.depthwise:
            return channels * stage.gives // stage.takes
        return channels if stage.keeps_channels else self.rounded(stage.value(stage.output_key or ""))

    def composition(self, stage: Stage, channels: int, goal: int | None, context: Mapping[str, Any]) -> Table:
        layer = stage.layer
        if isinstance(layer, Residual):
            goal = channels
        elif isinstance(layer, Parallel) and layer.join == "cat":
            goal = None  # the branches share it in many ways; `chain` says if the sum is another
        elif isinstance(layer, Parallel) and goal is None:
            goal = channels if stage.takes == stage.gives else self.rounded(stage.gives)
        chains = [self.chain(inner, channels, goal, context) for inner in stage.chains]
        return {**stage.table, PARTS[type(layer)][0]: chains if isinstance(layer, Parallel) else chains[0]}
