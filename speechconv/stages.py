"""Stages by name: constructor keywords are the only schema, in TOML as in Python.

    {stage = "mel", n_mels = 80}          <->          Mel(80, sample_rate=..., n_fft=...)

`sample_rate` has one owner, the pipeline, `n_fft` another, the stft, and `n_mels` a third, the mel; stages that need
them get them handed down.
TOML has no null, so the string "none" stands for Python's None.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from speechconv.checks import check_known
from speechconv.combine import Parallel, Residual, Sequential, named_parts
from speechconv.conv import Conv1d
from speechconv.cumulative import CumulativeNorm
from speechconv.frontend.kaldi import KaldiSTFT
from speechconv.frontend.minimum_length import MinimumLength
from speechconv.frontend.mulaw import MuLaw
from speechconv.frontend.normalize import Normalize
from speechconv.frontend.preemphasis import Preemphasis
from speechconv.frontend.stft import ConvSTFT
from speechconv.frontend.wav2vec2 import FeatureEncoder
from speechconv.frontend.wavenet import WaveNetEncoder
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
from speechconv.layers.mel import Log, Mel
from speechconv.layers.pcen import PCEN
from speechconv.layers.positional import ConvPositionalEmbedding
from speechconv.layers.stack import StackFrames
from speechconv.layers.subsampling import ConvSubsampling
from speechconv.layers.wavenet import WaveNetStack
from speechconv.norm import BatchNorm, LayerNorm
from speechconv.pointwise import POINTWISE

Table = dict[str, Any]


def _snake_case(kind: type[nn.Module]) -> str:
    """LeakyReLU -> leaky_relu.

    >>> _snake_case(nn.LeakyReLU), _snake_case(nn.ReLU6), _snake_case(nn.LogSigmoid), _snake_case(nn.GELU)
    ('leaky_relu', 'relu6', 'log_sigmoid', 'gelu')
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__.replace("LU", "lu")).lower()


STAGES: dict[str, type[nn.Module]] = {
    "stft": ConvSTFT,
    "kaldi_stft": KaldiSTFT,
    "mel": Mel,
    "log": Log,
    "dct": DCT,
    "lifter": Lifter,
    "pcen": PCEN,
    "deltas": Deltas,
    "cmvn": CMVN,
    "sliding_cmvn": SlidingCMVN,
    "stack_frames": StackFrames,
    "dynamic_range": DynamicRange,
    "affine": Affine,
    "preemphasis": Preemphasis,
    "minimum_length": MinimumLength,
    "normalize": Normalize,
    "mu_law": MuLaw,
    "feature_encoder": FeatureEncoder,
    "wavenet_encoder": WaveNetEncoder,
    "conv_subsampling": ConvSubsampling,
    "wavenet_stack": WaveNetStack,
    "conv_positional_embedding": ConvPositionalEmbedding,
    "conformer_conv_module": ConformerConvModule,
    "conv1d": Conv1d,
    "pointwise_conv": PointwiseConv,
    "conv_block": ConvBlock,
    "mlpconv": MLPConv,
    "separable_conv": SeparableConv,
    "channel_shuffle": ChannelShuffle,
    "shuffle_unit": ShuffleUnit,
    "inverted_residual": InvertedResidual,
    "fire": Fire,
    "inception": Inception,
    "residual_block": ResidualBlock,
    "bottleneck_block": BottleneckBlock,
    "gated_conv": GatedConv,
    "dilated_stack": DilatedStack,
    "conv_gating_unit": ConvGatingUnit,
    "conv_gating_mlp": ConvGatingMLP,
    "lightweight_conv": LightweightConv,
    "lightweight_conv_module": LightweightConvModule,
    "squeeze_excitation": SqueezeExcitation,
    "max_pool1d": MaxPool1d,
    "avg_pool1d": AvgPool1d,
    "layer_norm": LayerNorm,
    "batch_norm": BatchNorm,
    "cumulative_norm": CumulativeNorm,
    "sequential": Sequential,
    "residual": Residual,
    "parallel": Parallel,
}
STAGES |= {_snake_case(kind): kind for kind in POINTWISE if kind is not nn.LayerNorm}
NAMES = {kind: name for name, kind in STAGES.items()} | {nn.LayerNorm: "layer_norm"}

HANDED_DOWN = {"sample_rate": "the pipeline", "n_fft": "the stft before it", "n_mels": "the mel before it"}
"""Arguments that a stage may not set itself, and who owns them. An stft's own n_fft has a default, so it is its own."""

OVERRIDABLE = frozenset({"n_mels"})
"""Handed down only where a table does not say it: what stands between a mel and a dct may change the channels."""

OWNERS: dict[str, tuple[type[nn.Module], ...]] = {"n_fft": (ConvSTFT, KaldiSTFT), "n_mels": (Mel,)}
"""Stages whose arguments are handed down to those behind them."""

IMPLIED: dict[type[nn.Module], dict[str, Any]] = {nn.GLU: {"dim": -1}, nn.PReLU: {"num_parameters": 1}}
"""Arguments that the layout fixes."""

PARTS: dict[type[nn.Module], tuple[str, str | None]] = {
    Sequential: ("layers", None),
    Parallel: ("branches", "join"),
    Residual: ("body", "scale"),
}
"""Key of a composition's inner stages, and its one other key. Branches are lists of stages in a list."""

UNSTORED = {"inplace", "device", "dtype", "args", "kwargs", "min_value", "max_value"}
"""Arguments of torch's modules that are refused here, change no number, or are old names of others."""

READ_ONCE = frozenset({"file"})
"""Arguments whose content the stage holds with its weights from then on."""


def build_stages(tables: Any, context: Mapping[str, Any], where: str) -> list[nn.Module]:
    """The modules that the tables describe, in order; an stft hands its n_fft to those behind it, a mel its n_mels.

    Args:
        tables: each with the key "stage" and constructor keywords.
        context: values to hand down: the pipeline's sample_rate, an outer stft's n_fft, an outer mel's n_mels.
        where: the file or preset, for messages.

    Raises:
        ValueError: an unknown stage or key (names the accepted ones and the nearest match), or a value that the stage
        refuses.
    """
    context, layers = dict(context), []
    for table in check_tables(tables, where):
        layers.append(_build(table, context, where))
        context |= handed_down_by(layers[-1])
    return layers


def handed_down_by(layer: nn.Module) -> dict[str, Any]:
    """What `layer` hands down to the stages behind it."""
    return {
        key: getattr(part, key)
        for part in layer.modules()
        for key, owners in OWNERS.items()
        if isinstance(part, owners)
    }


def check_tables(tables: Any, where: str) -> Sequence[Table]:
    """`tables` as they are; ValueError unless they are a list of tables."""
    if not isinstance(tables, list | tuple) or not all(isinstance(table, Mapping) for table in tables):
        raise ValueError(
            f"stages in {where} must be a list of tables, [[stages]] or [{{stage = ...}}]; got {tables!r}."
        )
    return tables


def _build(table: Mapping[str, Any], context: Mapping[str, Any], where: str) -> nn.Module:
    name = table.get("stage")
    if name is None:
        raise ValueError(f"a stage in {where} has no key 'stage'; name one of {', '.join(STAGES)}.")
    check_known([name], STAGES, "stage", where)
    settings = {key: _from_toml(value) for key, value in table.items() if key != "stage"}
    place = f"stage {name!r} of {where}"
    try:
        if STAGES[name] in PARTS:
            return _build_composition(STAGES[name], settings, context, place)
        return _build_layer(STAGES[name], settings, context, place)
    except TypeError as error:
        raise ValueError(f"{place}: {error}") from None


def _build_layer(kind: type[nn.Module], settings: Table, context: Mapping[str, Any], place: str) -> nn.Module:
    parameters = parameters_of(kind)
    inherited = _inherited(parameters)
    for key in sorted(inherited):
        if key in settings and key in OVERRIDABLE:
            continue
        if key in settings:
            raise ValueError(f"{key} of {place} is handed down by {HANDED_DOWN[key]}; leave it out.")
        if key not in context:
            raise ValueError(f"{place} needs {key} from {HANDED_DOWN[key]}, and there is none.")
    check_known(settings, [key for key in parameters if key not in inherited - OVERRIDABLE], "key", place)
    for key, value in settings.items():
        if value is None and parameters[key].default == "none":  # GELU's own word, not Python's None
            settings[key] = "none"
    try:
        return kind(**{key: context[key] for key in inherited - settings.keys()}, **settings, **IMPLIED.get(kind, {}))
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None


def _build_composition(kind: type[nn.Module], settings: Table, context: Mapping[str, Any], place: str) -> nn.Module:
    parts_key, option = PARTS[kind]
    if parts_key not in settings:
        raise ValueError(f"{place} needs the key {parts_key!r}, a list of stages.")
    parts = settings.pop(parts_key)
    check_known(settings, [option] if option else [], "key", place)
    if kind is Sequential:
        return Sequential(*build_stages(parts, context, place))
    chains = [_chain(build_stages(part, context, place)) for part in (parts if kind is Parallel else [parts])]
    return kind(*chains, **settings)


def _chain(layers: list[nn.Module]) -> nn.Module:
    """One stage as it is, several as a Sequential."""
    return layers[0] if len(layers) == 1 else Sequential(*layers)


def describe_stage(layer: nn.Module) -> Table:
    """The table that builds `layer` again (its weights aside).

    Raises:
        TypeError: a module without a stage name.
    """
    kind = type(layer)
    if kind not in NAMES:
        raise TypeError(
            f"{kind.__name__} has no stage name, so it cannot be written as TOML; the stages are {', '.join(STAGES)}."
        )
    if isinstance(layer, nn.LayerNorm):
        return _describe_torch_layer_norm(layer)
    table: Table = {"stage": NAMES[kind]}
    if isinstance(layer, Parallel):
        return table | {"join": layer.join, "branches": [_describe_chain(branch) for _, branch in named_parts(layer)]}
    if isinstance(layer, Residual):
        return table | {"scale": layer.scale, "body": _describe_chain(layer.body)}
    if kind is Sequential:
        return table | {"layers": [describe_stage(part) for _, part in named_parts(layer)]}
    parameters = parameters_of(kind)
    for key in parameters:
        if key not in (_inherited(parameters) - OVERRIDABLE) | READ_ONCE:
            table[key] = _to_toml(setting_of(layer, key))
    return table


def setting_of(layer: nn.Module, key: str) -> Any:
    """The argument `key` that `layer` was made with; a bias that is learned, or left out, was True or False."""
    value = getattr(layer, key)
    return value is not None if key == "bias" and (value is None or isinstance(value, Tensor)) else value


def _describe_torch_layer_norm(layer: nn.LayerNorm) -> Table:
    """Ours has the same numbers and the same names of weights."""
    if layer.weight is None or layer.bias is None:
        raise TypeError("a LayerNorm without weight or bias has no stage name, so it cannot be written as TOML.")
    return {"stage": "layer_norm", "channels": layer.normalized_shape[0], "eps": layer.eps}


def _describe_chain(layer: nn.Module) -> list[Table]:
    """A Sequential of one stays one: `_chain` would unwrap it, and its weights would have other names."""
    if type(layer) is Sequential and len(layer) != 1:
        return [describe_stage(part) for part in layer]
    return [describe_stage(layer)]


def parameters_of(kind: type[nn.Module]) -> dict[str, inspect.Parameter]:
    """Constructor arguments that a table may set (Tanh and Sigmoid inherit *args and **kwargs, which are none)."""
    fixed = UNSTORED | IMPLIED.get(kind, {}).keys()
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {k: p for k, p in inspect.signature(kind).parameters.items() if k not in fixed and p.kind in named}


def _inherited(parameters: Mapping[str, inspect.Parameter]) -> set[str]:
    return {key for key in HANDED_DOWN if key in parameters and parameters[key].default is inspect.Parameter.empty}


def _from_toml(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(map(_from_toml, value))
    return None if value == "none" else value


def _to_toml(value: Any) -> Any:
    return "none" if value is None else list(value) if isinstance(value, tuple) else value
