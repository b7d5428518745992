"""Resolution: more frames a second, or fewer, by the hop or by a stride."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from speechconv.checks import check_number
from speechconv.combine import Parallel, Sequential
from speechconv.layer import geometry_of
from speechconv.scaling.stage import Stage, Tables, built, read_stages
from speechconv.stages import PARTS, Table

ROUNDING = 0.05
"""How far a hop may lie from the wanted one."""


def scale_resolution(tables: Tables, multiplier: float, *, sample_rate: int = 16000) -> list[Table]:
    """The stages with `multiplier` times as many frames a second.

    Args:
        tables: of the stages, as in a preset.
        multiplier: > 0; 1 changes nothing.
        sample_rate: of the pipeline, Hz, for stages that are made for one.

    The first stage of a stride above 1 that can changes its hop_length, rounded to whole samples by at most 5 %, or its
    stride, which must come out whole; neither goes above its window. Branches change theirs together.

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
    scaled = _finer(stages, multiplier, {"sample_rate": sample_rate})
    if scaled is None:
        raise ValueError(
            f"no stage can give {multiplier:g} times as many frames: one of the strides (={_strides(stages)}) divided "
            "by it must be a whole number that the stage takes, not above its window. Take another multiplier; a "
            f"hop_length may be rounded, by {ROUNDING:.0%} at most."
        )
    return scaled


def _finer(stages: Sequence[Stage], multiplier: float, context: Mapping[str, Any]) -> list[Table] | None:
    """The tables with the first stage changed that can; None where none can."""
    for number, stage in enumerate(stages):
        table = _finer_stage(stage, multiplier, context) if stage.stride > 1 else None
        if table is not None:
            return _replaced(stages, number, table)
    return None


def _finer_stage(stage: Stage, multiplier: float, context: Mapping[str, Any]) -> Table | None:
    if type(stage.layer) is Sequential:
        chain = _finer(stage.chains[0], multiplier, context)
        return None if chain is None else {**stage.table, "layers": chain}
    wanted = max(1, round(stage.stride / multiplier))
    error = abs(wanted * multiplier / stage.stride - 1)
    return _restrided(stage, wanted, context) if error <= (ROUNDING if _has_hop(stage) else 1e-9) else None


def _has_hop(stage: Stage) -> bool:
    """True where a hop sets the frame rate, of branches that of each."""
    if type(stage.layer) in PARTS:
        return all(any(map(_has_hop, chain)) for chain in stage.chains)
    return stage.has("hop_length")


def _strides(stages: Sequence[Stage]) -> list[int]:
    """Every stride that may change, in the order of the signal."""
    strides: list[int] = []
    for stage in stages:
        if type(stage.layer) in PARTS:
            strides += [stride for chain in stage.chains for stride in _strides(chain)]
        else:
            strides += stage.value("strides") if stage.has("strides") else [stage.stride]
    return strides


def _replaced(stages: Sequence[Stage], number: int, table: Table) -> list[Table]:
    return [dict(table if i == number else stage.table) for i, stage in enumerate(stages)]


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
        strides = _one_changed(stage.value("strides"), stage.value("kernel_sizes"), stride)
        return None if strides is None else {**stage.table, "strides": strides}
    key = next((key for key in ("hop_length", "stride", "factor") if stage.has(key)), None)
    return None if key is None else {**stage.table, key: stride}


def _one_changed(strides: Sequence[int], windows: Sequence[int], total: int) -> list[int] | None:
    """Strides whose product is `total`, of which the first that can differs and is not above its window."""
    for number, (stride, window) in enumerate(zip(strides, windows, strict=True)):
        wanted, rest = divmod(total * stride, math.prod(strides))
        if stride > 1 and not rest and 1 <= wanted <= window:
            return [wanted if i == number else other for i, other in enumerate(strides)]
    return None


def _restrided_chain(stages: Sequence[Stage], stride: int, context: Mapping[str, Any]) -> list[Table] | None:
    total = math.prod(stage.stride for stage in stages)
    for number, stage in enumerate(stages):
        wanted, rest = divmod(stride * stage.stride, total)
        if stage.stride > 1 and not rest and (table := _restrided(stage, wanted, context)) is not None:
            return _replaced(stages, number, table)
    return None
