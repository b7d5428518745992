"""Resolution: more frames a second, or fewer, by the hop or by a stride."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from speechconv.checks import check_number
from speechconv.combine import Parallel, Sequential
from speechconv.layer import geometry_of
from speechconv.scaling.stage import Stage, Tables, built, read_stages
from speechconv.stages import Table


def scale_resolution(tables: Tables, multiplier: float, *, sample_rate: int = 16000) -> list[Table]:
    """The stages with `multiplier` times as many frames a second.

    Args:
        tables: of the stages, as in a preset.
        multiplier: > 0; 1 changes nothing.
        sample_rate: of the pipeline, Hz, for stages that are made for one.

    The first stage of a stride above 1 that can changes its hop_length, rounded to whole samples, or its stride, which
    must come out whole; neither goes above its window. Branches change theirs together.

    Raises:
        ValueError: an argument outside its range, tables that describe no stages, or no stage that can.

    Source: Howard et al. 2017, "MobileNets", arXiv 1704.04861, section 3.4, where it is the number of pixels.

    Example:
        >>> scale_resolution([{"stage": "stft", "hop_length": 160}, {"stage": "log"}], 0.5)
        [{'stage': 'stft', 'hop_length': 320}, {'stage': 'log'}]
    """
    check_number("multiplier", multiplier, above=0)
    stages = read_stages(tables, sample_rate)
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
        "a whole number that the stage takes, not above its window. Take another multiplier; a hop_length may be "
        "rounded."
    )


def _restrided(stage: Stage, stride: int, context: Mapping[str, Any]) -> Table | None:
    """The table of the stage with another stride; None where it can have no such stride."""
    table = _with_stride(stage, stride, context)
    if table is None:
        return None
    try:
        geometry = geometry_of(built(table, context))
    except ValueError:
        return None
    return table if geometry.stride == stride <= geometry.receptive_field else None


def _with_stride(stage: Stage, stride: int, context: Mapping[str, Any]) -> Table | None:
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


def _restrided_chain(stages: Sequence[Stage], stride: int, context: Mapping[str, Any]) -> list[Table] | None:
    total = math.prod(stage.stride for stage in stages)
    for number, stage in enumerate(stages):
        wanted, rest = divmod(stride * stage.stride, total)
        if stage.stride > 1 and not rest and (table := _restrided(stage, wanted, context)) is not None:
            return [dict(table if i == number else other.table) for i, other in enumerate(stages)]
    return None
