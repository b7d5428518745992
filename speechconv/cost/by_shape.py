"""The walk through speechconv's own layers, by shapes alone: nothing runs, so that a day of audio costs no more than a
second.

A chain runs layer by layer on the whole input, as `forward` does but for its tiles. Every composition holds its input
until it is done, and Residual and Parallel their branches' outputs; that makes the peak.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

from torch import nn

from speechconv.combine import Parallel, Residual, Sequential, named_parts
from speechconv.cost.doubt import hooked
from speechconv.cost.inside import Inner, inside
from speechconv.cost.rules import Shape, Work, computes_as, rule_of
from speechconv.cost.stage import Stage, row_of
from speechconv.geometry import Geometry
from speechconv.layer import channels_after, geometry_of, num_frames_of
from speechconv.layout import axes
from speechconv.plan import join_path

Held = frozenset["Storage"]


@dataclass(frozen=True, eq=False)
class Storage:
    """Memory of one tensor, which views share."""

    bytes: int


@dataclass(frozen=True)
class Signal:
    """What flows between two layers.

    Attributes:
        frames, channels: as everywhere; channels WAVEFORM is a waveform.
        itemsize: bytes of a real value.
        storage: where it lies.
        geometry: of all before it; None where that is not known.
    """

    frames: int
    channels: int
    itemsize: int
    storage: Storage
    geometry: Geometry | None

    @property
    def shape(self) -> Shape:
        return axes(self.frames, self.channels)


def input_signal(frames: int, channels: int, itemsize: int) -> Signal:
    """A signal that no layer has seen."""
    return Signal(frames, channels, itemsize, Storage(prod(axes(frames, channels)) * itemsize), Geometry())


def walk(layer: nn.Module, x: Signal, name: str = "", path: str = "", held: Held = frozenset()) -> tuple[Stage, Signal]:
    """The row of `layer` behind the signal `x`, and what comes out.

    Args:
        layer: what a composition takes.
        x: its input.
        name, path: of its row.
        held: what stands in memory beside its input meanwhile.

    Raises:
        ValueError: a layer that does not take such an input.
    """
    if isinstance(layer, Sequential) and computes_as(layer, Sequential):
        parts, y, peak = _chain(named_parts(layer), x, path, held)
        return _composed(layer, parts, y, name, path, peak), y
    if isinstance(layer, Residual) and computes_as(layer, Residual):
        return _residual(layer, x, name, path, held)
    if isinstance(layer, Parallel) and computes_as(layer, Parallel):
        return _parallel(layer, x, name, path, held)
    parts = inside(layer, x.shape)
    return _unfolded(layer, parts, x, name, path, held) if parts else _single(layer, x, name, path, held)


def _bytes(held: Held) -> int:
    return sum(storage.bytes for storage in held)


def _behind(layer: nn.Module, x: Signal, storage: Storage) -> Signal:
    geometry = _then(x.geometry, geometry_of(layer))
    return Signal(num_frames_of(layer, x.frames), channels_after(layer, x.channels), x.itemsize, storage, geometry)


def _then(before: Geometry | None, own: Geometry) -> Geometry | None:
    return None if before is None else before.then(own)


def _chain(
    parts: Sequence[tuple[str, nn.Module]], x: Signal, path: str, held: Held, prefix: str = ""
) -> tuple[list[Stage], Signal, int]:
    """Rows of `parts` one behind the other, what comes out, and the peak; names get the prefix."""
    held |= {x.storage}
    stages, peak = [], _bytes(held)
    for name, part in parts:
        stage, x = walk(part, x, join_path(prefix, name), join_path(path, name), held)
        stages.append(stage)
        peak = max(peak, stage.peak_bytes)
    return stages, x, peak


def _composed(
    layer: nn.Module, parts: Sequence[Stage], y: Signal, name: str, path: str, peak: int, written: int = 0
) -> Stage:
    """The row of a composition; it writes so many bytes itself."""
    return row_of(
        layer,
        name,
        path,
        y.shape,
        y.geometry,
        parts=tuple(parts),
        products=sum(part.products for part in parts),
        transforms=sum(part.transforms for part in parts),
        activation_bytes=sum(part.activation_bytes for part in parts) + written,
        peak_bytes=peak,
        known=all(part.known for part in parts) and not hooked(layer),
    )


def _residual(layer: Residual, x: Signal, name: str, path: str, held: Held) -> tuple[Stage, Signal]:
    """Body, its scaled copy, sum."""
    held |= {x.storage}
    parts, body, peak = _branch("body", layer.body, x, path, held)
    total = Storage(body.storage.bytes)
    scaled = {Storage(total.bytes)} if layer.scale != 1.0 else set()
    joining = _bytes(held | {body.storage, total} | scaled)
    y = _behind(layer, x, total)
    written = total.bytes * (1 + len(scaled))
    return _composed(layer, parts, y, name, path, max(peak, joining), written), y


def _parallel(layer: Parallel, x: Signal, name: str, path: str, held: Held) -> tuple[Stage, Signal]:
    """Branches in turn, then their join; a sum or product of n branches is made in n - 1 steps."""
    held |= {x.storage}
    stages, outputs, peak = [], [], 0
    for branch_name, branch in named_parts(layer):
        parts, y, of_branch = _branch(branch_name, branch, x, path, held)
        held |= {y.storage}
        outputs.append(y)
        stages += parts
        peak = max(peak, of_branch)
    y = _behind(layer, x, Storage(prod(axes(outputs[0].frames, layer.channels_after(x.channels))) * x.itemsize))
    steps = 1 if layer.join == "cat" else len(outputs) - 1
    joining = _bytes(held | {y.storage}) + (y.storage.bytes if steps > 1 else 0)
    return _composed(layer, stages, y, name, path, max(peak, joining), steps * y.storage.bytes), y


def _branch(name: str, branch: nn.Module, x: Signal, path: str, held: Held) -> tuple[list[Stage], Signal, int]:
    """Rows of a branch: those of a plain chain stand for it, under the names of `named_modules`."""
    inner = join_path(path, name)
    if type(branch) is Sequential:
        return _chain(named_parts(branch), x, inner, held, name)
    stage, y = walk(branch, x, name, inner, held)
    return [stage], y, stage.peak_bytes


def _single(layer: nn.Module, x: Signal, name: str, path: str, held: Held) -> tuple[Stage, Signal]:
    """A layer by its rule."""
    rule = rule_of(layer)
    shape = _behind(layer, x, x.storage).shape
    work = Work() if rule is None else rule(layer, x.shape, shape)
    written = _written(work, shape, x.itemsize)
    y = _behind(layer, x, Storage(written[-1]) if written else x.storage)
    stage = row_of(
        layer,
        name,
        path,
        shape,
        y.geometry,
        products=work.products,
        transforms=work.transforms,
        activation_bytes=sum(written),
        peak_bytes=_bytes(held | {x.storage}) + _most(written),
        known=rule is not None and not hooked(layer),
    )
    return stage, y


def _unfolded(
    layer: nn.Module, parts: Sequence[Inner], x: Signal, name: str, path: str, held: Held
) -> tuple[Stage, Signal]:
    """A layer by what stands inside it, a chain of modules that it runs by a way of its own."""
    beside, before = _bytes(held | {x.storage}), 0
    stages, geometry = [], x.geometry
    for part in parts:
        geometry = _then(geometry, part.geometry)
        written = _written(part.work, part.shape, x.itemsize)
        stages.append(
            row_of(
                part.module,
                part.name,
                join_path(path, part.name),
                part.shape,
                geometry,
                products=part.work.products,
                activation_bytes=sum(written),
                peak_bytes=beside + before + _most(written),
            )
        )
        before = written[-1]
    y = _behind(layer, x, Storage(before))
    return _composed(layer, stages, y, name, path, max(stage.peak_bytes for stage in stages)), y


def _written(work: Work, shape: Shape, itemsize: int) -> list[int]:
    """Bytes of each tensor that is written, in order."""
    return [values * itemsize for values in ((prod(shape),) if work.tensors is None else work.tensors)]


def _most(written: Sequence[int]) -> int:
    """Bytes at once where each tensor is made of the one before, which is then let go."""
    return max((a + b for a, b in pairwise((0, *written))), default=0)
