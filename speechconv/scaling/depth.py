"""Depth: more blocks, or fewer."""

from __future__ import annotations

import math
from collections.abc import Iterator

from speechconv.checks import check_number
from speechconv.combine import Residual, Sequential
from speechconv.layers.families.fire import Fire
from speechconv.layers.families.inverted_residual import InvertedResidual
from speechconv.layers.families.resnet import BottleneckBlock, ResidualBlock
from speechconv.layers.families.separable import SeparableConv
from speechconv.layers.families.shuffle import ShuffleUnit
from speechconv.scaling.stage import Stage, Tables, read_stages
from speechconv.stages import Table, describe_stage

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


def scale_depth(tables: Tables, multiplier: float, *, sample_rate: int = 16000) -> list[Table]:
    """The stages with each block repeated `multiplier` times as often, rounded up.

    Args:
        tables: of the stages, as in a preset.
        multiplier: > 0; 1 changes nothing.
        sample_rate: of the pipeline, Hz, for stages that are made for one.

    Blocks are separable_conv, shuffle_unit, inverted_residual, fire, residual_block, bottleneck_block, and with weights
    in them residual and sequential. A block and the equal ones behind it are a group, where those behind it keep the
    channels and the frame rate that it may change; so are those that are added. A sequential is a stack where its own
    blocks repeat, or where it could not follow itself: not it, but the blocks in it are repeated.

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
    return _deeper(read_stages(tables, sample_rate), multiplier)


def _deeper(stages: list[Stage], multiplier: float) -> list[Table]:
    scaled: list[Table] = []
    for group, repeat in _groups(stages):
        first, count = group[0], len(group)
        if _is_stack(first):
            scaled.append({**first.table, "layers": _deeper(first.chains[0], multiplier)})
            continue
        wanted = math.ceil(round(multiplier * count, 9)) if repeat else count
        scaled += [dict(stage.table) for stage in group[:wanted]]
        scaled += [_copy(first, repeat or {}) for _ in range(wanted - count)]
    return scaled


def _groups(stages: list[Stage]) -> Iterator[tuple[list[Stage], Table | None]]:
    """Each stage with those behind it that repeat it, and the table of a repeat; None where it cannot be repeated."""
    while stages:
        repeat, count = _repeat_of(stages[0]), 1
        while repeat and count < len(stages) and describe_stage(stages[count].layer) == repeat:
            count += 1
        yield stages[:count], repeat
        stages = stages[count:]


def _is_stack(stage: Stage) -> bool:
    """True for a sequential in which blocks repeat, or one with blocks that could not follow itself."""
    if type(stage.layer) is not Sequential:
        return False
    groups = list(_groups(stage.chains[0]))
    repeats = any(len(group) > 1 or _is_stack(group[0]) for group, _ in groups)
    return repeats or (not _keeps_shape(stage) and any(repeat for _, repeat in groups))


def _repeat_of(stage: Stage) -> Table | None:
    """The block that may follow `stage` any number of times, in full; None where it is no block, or none fits."""
    if type(stage.layer) not in BLOCKS or next(stage.layer.parameters(), None) is None or _is_stack(stage):
        return None
    table = describe_stage(stage.layer)
    if "out_channels" in table:
        return {**table, "in_channels": table["out_channels"], **({"stride": 1} if "stride" in table else {})}
    return table if _keeps_shape(stage) else None


def _keeps_shape(stage: Stage) -> bool:
    return (stage.takes, stage.stride) == (stage.gives, 1)


def _copy(first: Stage, repeat: Table) -> Table:
    """`repeat` in the words of the table that it repeats, without its name."""
    changed = {key: value for key, value in repeat.items() if key in ("in_channels", "stride")}
    kept = {key: value for key, value in first.table.items() if key != "name"}
    return kept | {key: value for key, value in changed.items() if first.value(key) != value}
