"""speechconv: from raw waveform to frame features with convolutions, offline and live with the same answer.

The map, in the order of the signal:

    geometry    receptive field, stride, pads and lookahead, in exact integers
    arithmetic  output sizes, parameters and multiply-adds by formula
    layout      shapes, lengths, masks
    plan        where a layer stands in a stream; NotStreamable
    layer       Layer: one window function, offline and live
    conv        Conv1d
    identities  what a convolution equals; linear_as_conv: a classifier of windows over a whole signal
    combine     Sequential, Residual, Parallel; gathered: training past batch norm, on valid_frames alone
    norm        LayerNorm, BatchNorm
    cumulative  CumulativeNorm: over time, causal
    moments     mean and covariance of a waveform's windows; utterance: frozen, or by passes over a file
    frontend    samples -> frames: ConvSTFT, KaldiSTFT, FeatureEncoder, WaveNetEncoder; before them
                Normalize, MuLaw, Preemphasis, MinimumLength
    layers      frames -> frames: Mel, Log, PCEN, DCT, Lifter, Deltas, CMVN, SlidingCMVN, DynamicRange, Affine,
                StackFrames, ConvSubsampling, WaveNetStack, ConvPositionalEmbedding, ConformerConvModule;
                families: PointwiseConv, ConvBlock, MLPConv, SeparableConv, ChannelShuffle, ShuffleUnit,
                InvertedResidual, Fire, Inception, ResidualBlock, BottleneckBlock, GatedConv, DilatedStack,
                ConvGatingUnit, ConvGatingMLP, LightweightConv, LightweightConvModule, SqueezeExcitation,
                MaxPool1d, AvgPool1d
    pipeline    Pipeline: stages in order, presets, save and load; pipeline_source: what names one;
                pipeline_toml: one as text
    scaling     scale_width, scale_depth, scale_resolution, scale_compound: a list of stages to a larger or smaller one
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
    from speechconv.identities import linear_as_conv
    from speechconv.layer import Layer
    from speechconv.layers.affine import Affine
    from speechconv.layers.cepstrum import DCT, Lifter
    from speechconv.layers.cmvn import CMVN, SlidingCMVN
    from speechconv.layers.conformer import ConformerConvModule
    from speechconv.layers.deltas import Deltas
    from speechconv.layers.dynamic_range import DynamicRange
    from speechconv.layers.families.conv_block import ConvBlock
    from speechconv.layers.families.dilated_stack import DilatedStack
    from speechconv.layers.families.fire import Fire
    from speechconv.layers.families.gated_conv import GatedConv
    from speechconv.layers.families.gating_mlp import ConvGatingMLP, ConvGatingUnit
    from speechconv.layers.families.inception import Inception
    from speechconv.layers.families.inverted_residual import InvertedResidual
    from speechconv.layers.families.lightweight_conv import LightweightConv, LightweightConvModule
    from speechconv.layers.families.mlpconv import MLPConv
    from speechconv.layers.families.pointwise_conv import PointwiseConv
    from speechconv.layers.families.pooling import AvgPool1d, MaxPool1d
    from speechconv.layers.families.resnet import BottleneckBlock, ResidualBlock
    from speechconv.layers.families.separable import SeparableConv
    from speechconv.layers.families.shuffle import ChannelShuffle, ShuffleUnit
    from speechconv.layers.families.squeeze_excitation import SqueezeExcitation
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
    from speechconv.scaling.compound import scale_compound
    from speechconv.scaling.depth import scale_depth
    from speechconv.scaling.resolution import scale_resolution
    from speechconv.scaling.width import scale_width
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
    "identities": ("linear_as_conv",),
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
    "layers.families.conv_block": ("ConvBlock",),
    "layers.families.dilated_stack": ("DilatedStack",),
    "layers.families.fire": ("Fire",),
    "layers.families.gated_conv": ("GatedConv",),
    "layers.families.gating_mlp": ("ConvGatingMLP", "ConvGatingUnit"),
    "layers.families.inception": ("Inception",),
    "layers.families.inverted_residual": ("InvertedResidual",),
    "layers.families.lightweight_conv": ("LightweightConv", "LightweightConvModule"),
    "layers.families.mlpconv": ("MLPConv",),
    "layers.families.pointwise_conv": ("PointwiseConv",),
    "layers.families.pooling": ("AvgPool1d", "MaxPool1d"),
    "layers.families.resnet": ("BottleneckBlock", "ResidualBlock"),
    "layers.families.separable": ("SeparableConv",),
    "layers.families.shuffle": ("ChannelShuffle", "ShuffleUnit"),
    "layers.families.squeeze_excitation": ("SqueezeExcitation",),
    "fuse": ("fused",),
    "pipeline": ("Pipeline",),
    "scaling.width": ("scale_width",),
    "scaling.depth": ("scale_depth",),
    "scaling.resolution": ("scale_resolution",),
    "scaling.compound": ("scale_compound",),
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
    "AvgPool1d",
    "BatchNorm",
    "BottleneckBlock",
    "ChannelShuffle",
    "Comparison",
    "ConformerConvModule",
    "Conv1d",
    "ConvBlock",
    "ConvGatingMLP",
    "ConvGatingUnit",
    "ConvPositionalEmbedding",
    "ConvSTFT",
    "ConvSubsampling",
    "CumulativeNorm",
    "Deltas",
    "DilatedStack",
    "DynamicRange",
    "Extracted",
    "FeatureEncoder",
    "FeatureReader",
    "FeatureStatistics",
    "Fire",
    "GatedConv",
    "Geometry",
    "Inception",
    "Interrupted",
    "InvertedResidual",
    "KaldiSTFT",
    "Layer",
    "LayerNorm",
    "Lifter",
    "LightweightConv",
    "LightweightConvModule",
    "Log",
    "MLPConv",
    "MaxPool1d",
    "Mel",
    "MinimumLength",
    "Mirror",
    "MuLaw",
    "Normalize",
    "NotStreamable",
    "Parallel",
    "Pipeline",
    "PointwiseConv",
    "Preemphasis",
    "Residual",
    "ResidualBlock",
    "SeparableConv",
    "Sequential",
    "Session",
    "SessionPool",
    "ShuffleUnit",
    "SlidingCMVN",
    "SqueezeExcitation",
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
    "linear_as_conv",
    "mel_filters",
    "merge_shards",
    "scale_compound",
    "scale_depth",
    "scale_resolution",
    "scale_width",
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
