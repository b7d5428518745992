"""Networks to scale."""

from __future__ import annotations

import tomllib
from typing import Any

import speechconv as sc
from speechconv.presets import preset_text
from speechconv.stages import Table, build_stages

SAMPLE_RATE = 16000
LOGMEL: list[Table] = [{"stage": "stft", "output": "power"}, {"stage": "mel"}, {"stage": "log"}]


def of_preset(name: str) -> list[Table]:
    return tomllib.loads(preset_text(name))["stages"]


def built(tables: list[Table]) -> sc.Sequential:
    bare = [{key: value for key, value in table.items() if key != "name"} for table in tables]
    return sc.Sequential(*build_stages(bare, {"sample_rate": SAMPLE_RATE}, "a test"))


def conv(in_channels: int, out_channels: int, **options: Any) -> Table:
    return {"stage": "conv1d", "in_channels": in_channels, "out_channels": out_channels, "kernel_size": 3} | options


def linear(in_channels: int, out_channels: int) -> Table:
    return {"stage": "linear", "in_features": in_channels, "out_features": out_channels}


def inverted(in_channels: int, out_channels: int, stride: int = 1, **options: Any) -> Table:
    table = {"stage": "inverted_residual", "in_channels": in_channels, "out_channels": out_channels}
    return table | {"stride": stride} | options


def separable(in_channels: int, out_channels: int, stride: int = 1) -> Table:
    table = {"stage": "separable_conv", "in_channels": in_channels, "out_channels": out_channels, "kernel_size": 3}
    return table | {"stride": stride}
