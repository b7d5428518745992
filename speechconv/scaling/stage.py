"""A stage as its table and as the layer that this builds, between numbers of channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from speechconv.combine import Parallel, Residual, Sequential, named_parts
from speechconv.conv import Conv1d
from speechconv.layer import channels_after, geometry_of, takes
from speechconv.layers.families.conv_block import ConvBlock
from speechconv.layout import WAVEFORM
from speechconv.stages import PARTS, Table, build_stages, check_tables, parameters_of, setting_of

Tables = Sequence[Mapping[str, Any]]
WHERE = "the scaled stages"


@dataclass(frozen=True)
class Stage:
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
    def chains(self) -> list[list[Stage]]:
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


def read_stages(tables: Tables, sample_rate: int) -> list[Stage]:
    """The stages that the tables describe; nothing is drawn from torch's generator.

    Raises:
        ValueError: no list of tables, tables that describe no stages, or stages that take any number of channels.
    """
    where = "the stages to scale"
    bare = [{key: value for key, value in table.items() if key != "name"} for table in check_tables(tables, where)]
    with torch.random.fork_rng(devices=[]):
        layers = build_stages(bare, {"sample_rate": sample_rate}, where)
    channels = takes(Sequential(*layers))
    if channels is None and layers:
        raise ValueError("the stages to scale take any number of channels; begin with one that takes a fixed number.")
    return _chain(tables, layers, channels or WAVEFORM)


def _chain(tables: Tables, layers: Sequence[nn.Module], channels: int) -> list[Stage]:
    stages: list[Stage] = []
    for table, layer in zip(tables, layers, strict=True):
        stages.append(Stage(dict(table), layer, channels, channels_after(layer, channels)))
        channels = stages[-1].gives
    return stages


def _unchained(tables: Tables, layer: nn.Module) -> list[nn.Module]:
    """The layers of a branch or body: one table's stands there as it is, others as a Sequential."""
    return [layer] if len(tables) == 1 else [part for _, part in named_parts(layer)]


def built(table: Table, context: Mapping[str, Any]) -> nn.Module:
    """The layer of a scaled table; nothing is drawn from torch's generator."""
    bare = {key: value for key, value in table.items() if key != "name"}
    with torch.random.fork_rng(devices=[]):
        (layer,) = build_stages([bare], context, WHERE)
    return layer
