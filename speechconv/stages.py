"""Stages by name: constructor keywords are the only schema, in TOML as in Python.

    {stage = "mel", n_mels = 80}          <->          Mel(80, sample_rate=..., n_fft=...)

`sample_rate` has one owner, the pipeline, and `n_fft` another, the stft; stages that need them get them handed down. TOML has
no null, so the string "none" stands for Python's None.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from speechconv.combine import Parallel, Residual, Sequential
from speechconv.conv import Conv1d
from speechconv.frontend.stft import ConvSTFT
from speechconv.layers.mel import Log, Mel
from speechconv.norm import LayerNorm

Table = dict[str, Any]

STAGES: dict[str, type[nn.Module]] = {
    "stft": ConvSTFT,
    "mel": Mel,
    "log": Log,
    "conv1d": Conv1d,
    "layer_norm": LayerNorm,
    "linear": nn.Linear,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "glu": nn.GLU,
    "dropout": nn.Dropout,
    "sequential": Sequential,
    "residual": Residual,
    "parallel": Parallel,
}
NAMES = {kind: name for name, kind in STAGES.items()}

HANDED_DOWN = {"sample_rate": "the pipeline", "n_fft": "the stft before it"}
"""Arguments that a stage may not set itself, and who owns them. An stft's own n_fft has a default, so it is its own."""

IMPLIED: dict[type[nn.Module], dict[str, Any]] = {nn.GLU: {"dim": -1}}
"""Arguments that the layout fixes."""

UNSTORED = {"inplace", "device", "dtype"}
"""Arguments of torch's modules that change no number."""


def build_stage(table: Mapping[str, Any], context: Mapping[str, Any], where: str) -> nn.Module:
    """The module that a stage's table describes.

    Args:
        table: the key "stage" and constructor keywords.
        context: values to hand down, as far as they are known here.
        where: the file or preset, for messages.

    Raises:
        ValueError: an unknown stage or key (names the accepted ones and the nearest match), or a value that the stage refuses.
    """
    settings = {key: _from_toml(value) for key, value in table.items() if key not in ("stage", "name")}
    name = table.get("stage")
    if name is None:
        raise ValueError(f"a stage in {where} has no key 'stage'; name one of {', '.join(STAGES)}.")
    check_known(name, STAGES, "stage", where)
    kind = STAGES[name]
    if kind is Sequential:
        return Sequential(*_build_all(_take(settings, "layers", name, where), context, where))
    if kind is Parallel:
        branches = [build_chain(b, context, where) for b in _take(settings, "branches", name, where)]
        check_all_known(settings, ("join",), f"key of stage {name!r}", where)
        return Parallel(*branches, **settings)
    if kind is Residual:
        body = build_chain(_take(settings, "body", name, where), context, where)
        check_all_known(settings, ("scale",), f"key of stage {name!r}", where)
        return Residual(body, **settings)
    parameters = _parameters(kind)
    inherited = _inherited(parameters)
    for key in inherited & settings.keys():
        raise ValueError(f"{key} of stage {name!r} in {where} is handed down by {HANDED_DOWN[key]}; leave it out.")
    for key in sorted(inherited - context.keys()):
        raise ValueError(f"stage {name!r} in {where} needs {key} from {HANDED_DOWN[key]}, and there is none.")
    check_all_known(settings, [p for p in parameters if p not in inherited], f"key of stage {name!r}", where)
    try:
        return kind(**settings, **{key: context[key] for key in inherited}, **IMPLIED.get(kind, {}))
    except (TypeError, ValueError) as error:
        raise ValueError(f"stage {name!r} in {where}: {error}") from None


def build_chain(tables: Iterable[Mapping[str, Any]], context: Mapping[str, Any], where: str) -> nn.Module:
    """One stage as it is, several as a Sequential."""
    layers = _build_all(tables, context, where)
    return layers[0] if len(layers) == 1 else Sequential(*layers)


def _build_all(
    tables: Iterable[Mapping[str, Any]], context: Mapping[str, Any], where: str
) -> list[nn.Module]:
    """Stages in order; an stft hands its n_fft to those behind it."""
    context, layers = dict(context), []
    for table in tables:
        layers.append(build_stage(table, context, where))
        if isinstance(layers[-1], ConvSTFT):
            context["n_fft"] = layers[-1].n_fft
    return layers


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
    table: Table = {"stage": NAMES[kind]}
    if isinstance(layer, Parallel):
        return table | {"join": layer.join, "branches": [_describe_chain(b) for b in layer.children()]}
    if isinstance(layer, Residual):
        return table | {"scale": layer.scale, "body": _describe_chain(layer.body)}
    if isinstance(layer, Sequential):
        return table | {"layers": [describe_stage(child) for child in layer.children()]}
    parameters = _parameters(kind)
    for key in parameters:
        if key not in _inherited(parameters):
            value = getattr(layer, key)
            table[key] = _to_toml(value is not None if key == "bias" else value)
    return table


def _describe_chain(layer: nn.Module) -> list[Table]:
    return [describe_stage(child) for child in (layer.children() if type(layer) is Sequential else [layer])]


def _parameters(kind: type[nn.Module]) -> dict[str, inspect.Parameter]:
    """Constructor arguments that a table may set."""
    fixed = UNSTORED | IMPLIED.get(kind, {}).keys()
    return {k: p for k, p in inspect.signature(kind).parameters.items() if k not in fixed}


def _inherited(parameters: Mapping[str, inspect.Parameter]) -> set[str]:
    return {key for key in HANDED_DOWN if key in parameters and parameters[key].default is inspect.Parameter.empty}


def _take(settings: Table, key: str, name: str, where: str) -> Any:
    if key not in settings:
        raise ValueError(f"stage {name!r} in {where} needs the key {key!r}, a list of stages.")
    return settings.pop(key)


def _from_toml(value: Any) -> Any:
    if isinstance(value, list) and not any(isinstance(item, dict | list) for item in value):
        return tuple(value)
    return None if value == "none" else value


def _to_toml(value: Any) -> Any:
    return "none" if value is None else list(value) if isinstance(value, tuple) else value


def check_all_known(names: Iterable[str], accepted: Iterable[str], what: str, where: str) -> None:
    accepted = list(accepted)
    for name in names:
        check_known(name, accepted, what, where)


def check_known(name: str, accepted: Iterable[str], what: str, where: str) -> None:
    """ValueError unless `name` is accepted; names the nearest match and all accepted ones.

    >>> check_known("confromer", ["log", "conformer"], "stage", "my.toml")
    Traceback (most recent call last):
    ValueError: unknown stage 'confromer' in my.toml; did you mean 'conformer'? Accepted: log, conformer.
    """
    accepted = list(accepted)
    if name in accepted:
        return
    near = difflib.get_close_matches(str(name), accepted, n=1, cutoff=0.5)
    hint = f" did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"unknown {what} {name!r} in {where};{hint} Accepted: {', '.join(accepted)}.")
