"""Scaling: a list of stages to one that is wider, deeper, or gives more frames; tables as a preset's TOML has them.

    width         c channels -> multiplier c of them, rounded to a multiple of 8
    depth         a block and its repeats, n of them -> ceil(multiplier n)
    resolution    hop or stride S -> S / multiplier, multiplier times as many frames a second
    compound      depth alpha^phi, width beta^phi, resolution gamma^phi

Multiply-adds a second of audio grow as depth width^2 resolution: frames lie along one axis, where an image's pixels lie
along two.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from speechconv.checks import check_count, check_flag, check_number
from speechconv.combine import Parallel, Residual, Sequential, named_parts
from speechconv.conv import Conv1d
from speechconv.layer import channels_after, geometry_of, takes
from speechconv.layers.families.conv_block import ConvBlock
from speechconv.layers.families.fire import Fire
from speechconv.layers.families.inverted_residual import InvertedResidual
from speechconv.layers.families.resnet import BottleneckBlock, ResidualBlock
from speechconv.layers.families.separable import SeparableConv
from speechconv.layers.families.shuffle import ShuffleUnit
from speechconv.layout import WAVEFORM
from speechconv.stages import PARTS, Table, build_stages, describe_stage, handed_down_by, parameters_of, setting_of

Tables = Sequence[Mapping[str, Any]]
WHERE = "the scaled stages"

BLOCKS = (
    BottleneckBlock,
    Fire,
    InvertedResidual,
    Residual,
    ResidualBlock,
    SeparableConv,
    Sequential,
    ShuffleUnit,
)
"""Stages whose number is a network's depth."""


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
    stages = _read(tables, sample_rate)
    if multiplier == 1 or not stages:
        return [dict(stage.table) for stage in stages]
    width = _Width(multiplier, divisor)
    target = stages[-1].gives if keep_output else None
    return width.chain(stages, stages[0].takes, target, {"sample_rate": sample_rate})


def scale_depth(tables: Tables, multiplier: float, *, sample_rate: int = 16000) -> list[Table]:
    """The stages with each block repeated `multiplier` times as often, rounded up.

    Args:
        tables: of the stages, as in a preset.
        multiplier: > 0; 1 changes nothing.
        sample_rate: of the pipeline, Hz, for stages that are made for one.

    Blocks are separable_conv, shuffle_unit, inverted_residual, fire, residual_block, bottleneck_block, and with weights
    in them residual and sequential. A block and the equal ones behind it are a group, where those behind it keep the
    channels and the frame rate that it may change; so are those that are added.

    Raises:
        ValueError: an argument outside its range, or tables that describe no stages.

    Source: Tan and Le 2019, "EfficientNet", arXiv 1905.11946, section 3.2; rounded up as in its code.

    Example:
        >>> block = {"stage": "inverted_residual", "in_channels": 16, "out_channels": 24, "stride": 2}
        >>> for table in scale_depth([block], 1.2):
        ...     print(table)
        {'stage': 'inverted_residual', 'in_channels': 16, 'out_channels': 24, 'stride': 2}
        {'stage': 'inverted_residual', 'in_channels': 24, 'out_channels': 24, 'stride': 1}
    """
    check_number("multiplier", multiplier, above=0)
    stages = _read(tables, sample_rate)
    scaled: list[Table] = []
    while stages:
        first, repeat = stages[0], _repeat_of(stages[0])
        count = 1
        while repeat and count < len(stages) and describe_stage(stages[count].layer) == repeat:
            count += 1
        group = [dict(stage.table) for stage in stages[:count]]
        wanted = math.ceil(round(multiplier * count, 9)) if repeat else count
        scaled += group[:wanted] + [_copy(first, repeat or {}) for _ in range(wanted - count)]
        stages = stages[count:]
    return scaled


def scale_resolution(tables: Tables, multiplier: float, *, sample_rate: int = 16000) -> list[Table]:
    """The stages with `multiplier` times as many frames a second.

    Args:
        tables: of the stages, as in a preset.
        multiplier: > 0; 1 changes nothing.
        sample_rate: of the pipeline, Hz, for stages that are made for one.

    The first stage that can changes its hop_length, rounded to whole samples, or its stride, which must come out whole
    and not above its window; branches change theirs together.

    Raises:
        ValueError: an argument outside its range, tables that describe no stages, or no stage that can.

    Source: Howard et al. 2017, "MobileNets", arXiv 1704.04861, section 3.4, where it is the number of pixels.

    Example:
        >>> scale_resolution([{"stage": "stft", "hop_length": 160}, {"stage": "log"}], 0.5)
        [{'stage': 'stft', 'hop_length': 320}, {'stage': 'log'}]
    """
    check_number("multiplier", multiplier, above=0)
    stages = _read(tables, sample_rate)
    if multiplier == 1:
        return [dict(stage.table) for stage in stages]
    for number, stage in enumerate(stages):
        wanted = max(1, round(stage.stride / multiplier))
        rounds = stage.has("hop_length") or isinstance(stage.layer, Parallel)
        if stage.stride > 1 and (rounds or math.isclose(wanted, stage.stride / multiplier)):
            table = _restrided(stage, wanted, {"sample_rate": sample_rate})
            if table is not None:
                return [dict(table if i == number else other.table) for i, other in enumerate(stages)]
    strides = [stage.stride for stage in stages]
    raise ValueError(
        f"no stage can give {multiplier:g} times as many frames: one of the strides (={strides}) divided by it must be "
        "a whole number not above the stage's window. Take another multiplier; a hop_length may be rounded."
    )


def scale_compound(
    tables: Tables,
    phi: float,
    *,
    alpha: float = 1.2,
    beta: float = 1.1,
    gamma: float = 1.15,
    divisor: int = 8,
    keep_output: bool = False,
    sample_rate: int = 16000,
) -> list[Table]:
    """The stages alpha^phi times as deep, beta^phi times as wide, with gamma^phi times as many frames a second.

    Args:
        tables: of the stages, as in a preset.
        phi: how much larger; 0 changes nothing, below 0 makes them smaller.
        alpha, beta, gamma: of depth, width and resolution, > 0. One step of phi costs alpha beta^2 gamma times as many
            multiply-adds a second, 1.67 with the paper's; 1.0 leaves one out, as gamma where no hop can be rounded.
        divisor, keep_output: as `scale_width`'s.
        sample_rate: of the pipeline, Hz, for stages that are made for one.

    Raises:
        ValueError: as the three others.

    Source: Tan and Le 2019, "EfficientNet", arXiv 1905.11946, equation 3 and section 4.

    Example:
        >>> block = {"stage": "inverted_residual", "in_channels": 80, "out_channels": 80}
        >>> tables = [{"stage": "stft", "output": "power"}, {"stage": "mel"}, {"stage": "log"}, block]
        >>> len(scale_compound(tables, 1)), scale_compound(tables, 1)[0]["hop_length"]
        (5, 139)
    """
    check_number("phi", phi)
    for name, value in (("alpha", alpha), ("beta", beta), ("gamma", gamma)):
        check_number(name, value, above=0)
    deeper = scale_depth(tables, alpha**phi, sample_rate=sample_rate)
    wider = scale_width(deeper, beta**phi, divisor=divisor, keep_output=keep_output, sample_rate=sample_rate)
    return scale_resolution(wider, gamma**phi, sample_rate=sample_rate)


def round_channels(channels: float, divisor: int = 8) -> int:
    """The multiple of `divisor` nearest to `channels`, at least one of it and never more than a tenth below.

    >>> round_channels(24 * 0.75), round_channels(11.9), round_channels(3)
    (24, 16, 8)
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


@dataclass(frozen=True)
class _Stage:
    """A table, the layer that it builds, and the channels before and behind that."""

    table: Table
    layer: nn.Module
    takes: int
    gives: int

    def has(self, key: str) -> bool:
        """True where a table of this stage may set `key`."""
        return key in parameters_of(type(self.layer))

    def value(self, key: str) -> Any:
        return setting_of(self.layer, key)

    @property
    def chains(self) -> list[list[_Stage]]:
        """What a composition joins."""
        tables, layer = self.table[PARTS[type(self.layer)][0]], self.layer
        if isinstance(layer, Parallel):
            branches = [branch for _, branch in named_parts(layer)]
            return [_chain(t, _unchained(t, branch), self.takes) for t, branch in zip(tables, branches, strict=True)]
        if isinstance(layer, Residual):
            return [_chain(tables, _unchained(tables, layer.body), self.takes)]
        return [_chain(tables, [part for _, part in named_parts(layer)], self.takes)]

    @property
    def input_key(self) -> str | None:
        """The argument that says what comes in."""
        for key in ("in_channels", "in_features"):
            if self.has(key):
                return key
        return "channels" if self.has("channels") and takes(self.layer) else None

    @property
    def output_key(self) -> str | None:
        """The argument that says what goes out; None where that follows from what comes in."""
        for key in ("out_channels", "out_features", "skip_channels"):
            if self.has(key) and self.value(key) is not None:
                return key
        return "channels" if self.has("channels") and self.input_key != "channels" else None

    @property
    def stride(self) -> int:
        return geometry_of(self.layer).stride

    @property
    def depthwise(self) -> bool:
        return isinstance(self.layer, Conv1d | ConvBlock) and self.layer.groups == self.takes > 1

    @property
    def sets_output(self) -> bool:
        """False where what goes out follows from what comes in."""
        if isinstance(self.layer, Parallel):
            return self.layer.join == "cat" or self.takes != self.gives
        if type(self.layer) in PARTS:
            return not isinstance(self.layer, Residual) and any(stage.sets_output for stage in self.chains[0])
        return self.output_key is not None and not self.depthwise and not self.keeps_channels

    @property
    def keeps_channels(self) -> bool:
        """True with a skip around it, which must go on fitting."""
        return self.takes == self.gives and any(isinstance(part, Residual) for part in self.layer.modules())


def _read(tables: Tables, sample_rate: int) -> list[_Stage]:
    """The stages that the tables describe; nothing is drawn from torch's generator."""
    bare = [{key: value for key, value in table.items() if key != "name"} for table in tables]
    with torch.random.fork_rng(devices=[]):
        layers = build_stages(bare, {"sample_rate": sample_rate}, "the stages to scale")
    channels = takes(Sequential(*layers))
    if channels is None and layers:
        raise ValueError("the stages to scale take any number of channels; begin with one that takes a fixed number.")
    return _chain(tables, layers, channels or WAVEFORM)


def _chain(tables: Tables, layers: Sequence[nn.Module], channels: int) -> list[_Stage]:
    stages: list[_Stage] = []
    for table, layer in zip(tables, layers, strict=True):
        stages.append(_Stage(dict(table), layer, channels, channels_after(layer, channels)))
        channels = stages[-1].gives
    return stages


def _unchained(tables: Tables, layer: nn.Module) -> list[nn.Module]:
    """The layers of a branch or body: one table's stands there as it is, others as a Sequential."""
    return [layer] if len(tables) == 1 else [part for _, part in named_parts(layer)]


def _built(table: Table, context: Mapping[str, Any]) -> nn.Module:
    bare = {key: value for key, value in table.items() if key != "name"}
    with torch.random.fork_rng(devices=[]):
        (layer,) = build_stages([bare], context, WHERE)
    return layer


@dataclass(frozen=True)
class _Width:
    multiplier: float
    divisor: int

    def rounded(self, channels: int) -> int:
        return round_channels(self.multiplier * channels, self.divisor)

    def chain(
        self, stages: Sequence[_Stage], channels: int, target: int | None, context: Mapping[str, Any]
    ) -> list[Table]:
        """Tables of a chain that takes `channels` and gives `target`, if that is not None."""
        setters = [number for number, stage in enumerate(stages) if stage.sets_output]
        scaled: list[Table] = []
        for number, stage in enumerate(stages):
            goal = None
            if target is not None and number == max(setters, default=None):
                goal = target * stage.gives // stages[-1].gives  # a GLU behind it halves them
            scaled.append(self.table(stage, channels, goal, context))
            layer = _built(scaled[-1], context)
            channels = channels_after(layer, channels)
            context = {**context, **handed_down_by(layer)}
        if target not in (None, channels):
            raise ValueError(
                f"{WHERE} give {channels} channels where {target} must go out; end them with a linear stage."
            )
        return scaled

    def table(self, stage: _Stage, channels: int, goal: int | None, context: Mapping[str, Any]) -> Table:
        """The table of a stage that takes `channels` and gives `goal`; None: as many as it should."""
        if type(stage.layer) in PARTS:
            return self.composition(stage, channels, goal, context)
        scaled = dict(stage.table)
        for key in parameters_of(type(stage.layer)):
            value = stage.value(key) if key.endswith(("channels", "features")) else None
            if value is None or key == "condition_channels":
                continue
            if key == stage.input_key:
                scaled[key] = channels - getattr(stage.layer, "condition_channels", 0)
            elif key == stage.output_key:
                scaled[key] = goal or self.output(stage, channels)
            else:
                scaled[key] = [self.rounded(c) for c in value] if isinstance(value, tuple) else self.rounded(value)
        if stage.depthwise:
            scaled["groups"] = channels
        return scaled

    def output(self, stage: _Stage, channels: int) -> int:
        if stage.depthwise:
            return channels * stage.gives // stage.takes
        return channels if stage.keeps_channels else self.rounded(stage.value(stage.output_key or ""))

    def composition(self, stage: _Stage, channels: int, goal: int | None, context: Mapping[str, Any]) -> Table:
        layer = stage.layer
        if isinstance(layer, Residual):
            goal = channels
        elif isinstance(layer, Parallel) and layer.join == "cat":
            goal = None  # the branches share it in many ways; `chain` says if the sum is another
        elif isinstance(layer, Parallel) and goal is None:
            goal = channels if stage.takes == stage.gives else self.rounded(stage.gives)
        chains = [self.chain(inner, channels, goal, context) for inner in stage.chains]
        return {**stage.table, PARTS[type(layer)][0]: chains if isinstance(layer, Parallel) else chains[0]}


def _repeat_of(stage: _Stage) -> Table | None:
    """The block that may follow `stage` any number of times, in full; None where it is no block, or none fits."""
    if type(stage.layer) not in BLOCKS or next(stage.layer.parameters(), None) is None:
        return None
    table = describe_stage(stage.layer)
    if "out_channels" in table:
        return {**table, "in_channels": table["out_channels"], **({"stride": 1} if "stride" in table else {})}
    return table if (stage.takes, stage.stride) == (stage.gives, 1) else None


def _copy(first: _Stage, repeat: Table) -> Table:
    """`repeat` in the words of the table that it repeats, without its name."""
    changed = {key: value for key, value in repeat.items() if key in ("in_channels", "stride")}
    kept = {key: value for key, value in first.table.items() if key != "name"}
    return kept | {key: value for key, value in changed.items() if first.value(key) != value}


def _restrided(stage: _Stage, stride: int, context: Mapping[str, Any]) -> Table | None:
    """The table of the stage with another stride; None where it can have no such stride."""
    table = _with_stride(stage, stride, context)
    if table is None:
        return None
    try:
        geometry = geometry_of(_built(table, context))
    except ValueError:
        return None
    return table if geometry.stride == stride <= geometry.receptive_field else None


def _with_stride(stage: _Stage, stride: int, context: Mapping[str, Any]) -> Table | None:
    if isinstance(stage.layer, Parallel):
        chains = [_restrided_chain(inner, stride, context) for inner in stage.chains]
        return None if None in chains else {**stage.table, "branches": chains}
    if type(stage.layer) is Sequential:
        chain = _restrided_chain(stage.chains[0], stride, context)
        return None if chain is None else {**stage.table, "layers": chain}
    if stage.has("strides"):
        first, *rest = stage.value("strides")
        first = first * stride // stage.stride
        return {**stage.table, "strides": [first, *rest]} if first <= stage.value("kernel_sizes")[0] else None
    key = next((key for key in ("hop_length", "stride", "factor") if stage.has(key)), None)
    return None if key is None else {**stage.table, key: stride}


def _restrided_chain(stages: Sequence[_Stage], stride: int, context: Mapping[str, Any]) -> list[Table] | None:
    total = math.prod(stage.stride for stage in stages)
    for number, stage in enumerate(stages):
        wanted, rest = divmod(stride * stage.stride, total)
        if stage.stride > 1 and not rest and (table := _restrided(stage, wanted, context)) is not None:
            return [dict(table if i == number else other.table) for i, other in enumerate(stages)]
    return None
