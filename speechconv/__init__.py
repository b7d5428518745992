"""speechconv: from raw waveform to frame features with convolutions, offline and live with the same answer.

The map, in the order of the signal:

    geometry    receptive field, stride, pads and lookahead, in exact integers
    layout      shapes, lengths, masks
    plan        where a layer stands in a stream; NotStreamable
    layer       Layer: one window function, offline and live
    conv        Conv1d
    combine     Sequential, Residual, Parallel
    norm        LayerNorm
    frontend    samples -> frames: ConvSTFT
    layers      frames -> frames: Mel, Log
    pipeline    Pipeline: stages in order, presets, save and load
    streamer    Streamer: the pure core of a stream
    session     Session, SessionPool: live
    contract    check_streaming: does a layer keep the law?
    audio       files and pipes -> waveform blocks
    extraction  extract: files -> features, manifest, error report

Names load on first use, so importing the package is instant and needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from speechconv.combine import Parallel, Residual, Sequential
    from speechconv.contract import check_streaming
    from speechconv.conv import Conv1d
    from speechconv.cost import describe
    from speechconv.extraction import extract
    from speechconv.frontend.stft import ConvSTFT, fourier_basis
    from speechconv.geometry import Geometry
    from speechconv.layer import Layer
    from speechconv.layers.mel import Log, Mel, mel_filters
    from speechconv.norm import LayerNorm
    from speechconv.pipeline import Pipeline
    from speechconv.plan import NotStreamable
    from speechconv.session import Session, SessionPool
    from speechconv.streamer import Streamer

__version__ = "0.1.0"

_HOMES = {
    "geometry": ("Geometry",),
    "plan": ("NotStreamable",),
    "layer": ("Layer",),
    "conv": ("Conv1d",),
    "combine": ("Parallel", "Residual", "Sequential"),
    "norm": ("LayerNorm",),
    "frontend.stft": ("ConvSTFT", "fourier_basis"),
    "layers.mel": ("Log", "Mel", "mel_filters"),
    "pipeline": ("Pipeline",),
    "streamer": ("Streamer",),
    "session": ("Session", "SessionPool"),
    "contract": ("check_streaming",),
    "cost": ("describe",),
    "extraction": ("extract",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Conv1d",
    "ConvSTFT",
    "Geometry",
    "Layer",
    "LayerNorm",
    "Log",
    "Mel",
    "NotStreamable",
    "Parallel",
    "Pipeline",
    "Residual",
    "Sequential",
    "Session",
    "SessionPool",
    "Streamer",
    "check_streaming",
    "describe",
    "extract",
    "fourier_basis",
    "mel_filters",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'speechconv' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"speechconv.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
