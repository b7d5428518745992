"""speechconv: from raw waveform to frame features with convolutions, offline and live with the same answer.

The map, in the order of the signal:

    geometry    receptive field, stride, pads and lookahead, in exact integers
    layout      shapes, lengths, masks
    plan        where a layer stands in a stream; NotStreamable
    layer       Layer: one window function, offline and live
    conv        Conv1d
    combine     Sequential, Residual, Parallel
    norm        LayerNorm, BatchNorm
    cumulative  CumulativeNorm: over time, causal
    moments     mean and covariance of a waveform's windows; utterance: frozen, or by passes over a file
    frontend    samples -> frames: ConvSTFT, KaldiSTFT, FeatureEncoder, WaveNetEncoder; before them
                Normalize, MuLaw, Preemphasis, MinimumLength
    layers      frames -> frames: Mel, Log, PCEN, DCT, Lifter, Deltas, CMVN, SlidingCMVN, DynamicRange, Affine,
                StackFrames, ConvSubsampling, WaveNetStack, ConvPositionalEmbedding, ConformerConvModule
    pipeline    Pipeline: stages in order, presets, save and load; pipeline_source: what names one
    fuse        fused: an equal layer for inference, weights folded together
    adapters    other toolkits' weights into these layers, and these layers into other toolkits
    streamer    Streamer: the pure core of a stream
    session     Session, SessionPool: live
    contract    check_streaming: does a layer keep the law?
    cost        describe: what a module is made of and what that costs, layer by layer
    audio       files and pipes -> waveform blocks
    comparison  compare: features against librosa's, number by number
    stores      features on disk: npy, Kaldi, HDF5, tar, safetensors, Parquet; FeatureReader, convert, check, statistics
    extraction  extract: sounds -> features, manifest, error report; any input, any number of workers
    runs        what extract left: report, merge of its shards
    memory      freed memory kept by processes of our own
    global_cmvn  with_cmvn: a pipeline normalised by the statistics of a corpus
    pages       what the HTML reports are made of
    verification  verify: learned filters against the STFT

Names load on first use, so importing the package is instant and needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from speechconv import adapters as adapters
    from speechconv.combine import Parallel, Residual, Sequential
    from speechconv.comparison import Comparison, compare
    from speechconv.contract import check_streaming
    from speechconv.conv import Conv1d
    from speechconv.cost import describe
    from speechconv.cumulative import CumulativeNorm
    from speechconv.extraction import Extracted, Interrupted, Summary, extract
    from speechconv.frontend.kaldi import KaldiSTFT
    from speechconv.frontend.minimum_length import MinimumLength
    from speechconv.frontend.mulaw import MuLaw
    from speechconv.frontend.normalize import Normalize
    from speechconv.frontend.preemphasis import Preemphasis
    from speechconv.frontend.stft import ConvSTFT, fourier_basis
    from speechconv.frontend.wav2vec2 import FeatureEncoder
    from speechconv.frontend.wavenet import WaveNetEncoder
    from speechconv.fuse import fused
    from speechconv.geometry import Geometry, Mirror
    from speechconv.global_cmvn import with_cmvn
    from speechconv.layer import Layer
    from speechconv.layers.affine import Affine
    from speechconv.layers.cepstrum import DCT, Lifter
    from speechconv.layers.cmvn import CMVN, SlidingCMVN
    from speechconv.layers.conformer import ConformerConvModule
    from speechconv.layers.deltas import Deltas
    from speechconv.layers.dynamic_range import DynamicRange
    from speechconv.layers.mel import Log, Mel, mel_filters
    from speechconv.layers.pcen import PCEN
    from speechconv.layers.positional import ConvPositionalEmbedding
    from speechconv.layers.stack import StackFrames
    from speechconv.layers.subsampling import ConvSubsampling
    from speechconv.layers.wavenet import WaveNetStack
    from speechconv.norm import BatchNorm, LayerNorm
    from speechconv.pipeline import Pipeline
    from speechconv.plan import NotStreamable
    from speechconv.runs.merging import merge_shards
    from speechconv.runs.report import extraction_report
    from speechconv.session import Session, SessionPool
    from speechconv.stores.checking import check
    from speechconv.stores.conversion import convert
    from speechconv.stores.feature_reader import FeatureReader
    from speechconv.stores.statistics import FeatureStatistics, feature_statistics
    from speechconv.streamer import Streamer
    from speechconv.verification.verifier import verify

__version__ = "0.1.0"

_HOMES = {
    "geometry": ("Geometry", "Mirror"),
    "plan": ("NotStreamable",),
    "layer": ("Layer",),
    "conv": ("Conv1d",),
    "combine": ("Parallel", "Residual", "Sequential"),
    "norm": ("BatchNorm", "LayerNorm"),
    "cumulative": ("CumulativeNorm",),
    "frontend.normalize": ("Normalize",),
    "frontend.mulaw": ("MuLaw",),
    "frontend.preemphasis": ("Preemphasis",),
    "frontend.minimum_length": ("MinimumLength",),
    "frontend.stft": ("ConvSTFT", "fourier_basis"),
    "frontend.kaldi": ("KaldiSTFT",),
    "frontend.wav2vec2": ("FeatureEncoder",),
    "frontend.wavenet": ("WaveNetEncoder",),
    "layers.mel": ("Log", "Mel", "mel_filters"),
    "layers.cepstrum": ("DCT", "Lifter"),
    "layers.pcen": ("PCEN",),
    "layers.deltas": ("Deltas",),
    "layers.cmvn": ("CMVN", "SlidingCMVN"),
    "layers.stack": ("StackFrames",),
    "layers.dynamic_range": ("DynamicRange",),
    "layers.affine": ("Affine",),
    "layers.subsampling": ("ConvSubsampling",),
    "layers.wavenet": ("WaveNetStack",),
    "layers.positional": ("ConvPositionalEmbedding",),
    "layers.conformer": ("ConformerConvModule",),
    "fuse": ("fused",),
    "pipeline": ("Pipeline",),
    "streamer": ("Streamer",),
    "session": ("Session", "SessionPool"),
    "contract": ("check_streaming",),
    "cost": ("describe",),
    "comparison": ("Comparison", "compare"),
    "extraction": ("Extracted", "Interrupted", "Summary", "extract"),
    "global_cmvn": ("with_cmvn",),
    "stores.feature_reader": ("FeatureReader",),
    "stores.conversion": ("convert",),
    "stores.checking": ("check",),
    "stores.statistics": ("FeatureStatistics", "feature_statistics"),
    "runs.report": ("extraction_report",),
    "runs.merging": ("merge_shards",),
    "verification.verifier": ("verify",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "CMVN",
    "DCT",
    "PCEN",
    "Affine",
    "BatchNorm",
    "Comparison",
    "ConformerConvModule",
    "Conv1d",
    "ConvPositionalEmbedding",
    "ConvSTFT",
    "ConvSubsampling",
    "CumulativeNorm",
    "Deltas",
    "DynamicRange",
    "Extracted",
    "FeatureEncoder",
    "FeatureReader",
    "FeatureStatistics",
    "Geometry",
    "Interrupted",
    "KaldiSTFT",
    "Layer",
    "LayerNorm",
    "Lifter",
    "Log",
    "Mel",
    "MinimumLength",
    "Mirror",
    "MuLaw",
    "Normalize",
    "NotStreamable",
    "Parallel",
    "Pipeline",
    "Preemphasis",
    "Residual",
    "Sequential",
    "Session",
    "SessionPool",
    "SlidingCMVN",
    "StackFrames",
    "Streamer",
    "Summary",
    "WaveNetEncoder",
    "WaveNetStack",
    "check",
    "check_streaming",
    "compare",
    "convert",
    "describe",
    "extract",
    "extraction_report",
    "feature_statistics",
    "fourier_basis",
    "fused",
    "mel_filters",
    "merge_shards",
    "verify",
    "with_cmvn",
]


def __getattr__(name: str) -> Any:
    if name == "adapters":  # a folder, not a name in it
        return importlib.import_module("speechconv.adapters")
    if name not in _HOME:
        raise AttributeError(f"module 'speechconv' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"speechconv.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
