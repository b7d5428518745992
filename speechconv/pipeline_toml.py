"""A pipeline as TOML: its sample rate, and one table for each stage, with the stage's name and keys."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, count
from typing import Any

import numpy as np
from torch import nn

from speechconv.checks import check_known
from speechconv.stages import NAMES, Table, check_tables, describe_stage


def read_toml(text: str, where: str, overrides: Mapping[str, Any]) -> Table:
    """What the text says, with other values for what `overrides` names; the stages' own keys are not looked at.

    Args:
        text: TOML.
        where: the file or preset, for messages.
        overrides: {"sample_rate": 8000}, {"mel.n_mels": 40} or {"mel": {"n_mels": 40}}.

    Raises:
        ValueError: no TOML, an unknown or missing key, stages that are no tables, or an override of what is not there.

    >>> read_toml('sample_rate = 16000\\n[[stages]]\\nstage = "stft"', "my.toml", {"stft.n_fft": 512})
    {'sample_rate': 16000, 'stages': [{'stage': 'stft', 'n_fft': 512}]}
    """
    try:
        spec = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{where} is not valid TOML: {error}") from None
    check_known(spec, ("description", "sample_rate", "stages"), "key", where)
    for key in ("sample_rate", "stages"):
        if key not in spec:
            raise ValueError(f"{where} needs the key {key!r}.")
    check_tables(spec["stages"], where)
    return _override(spec, overrides, where)


def write_toml(sample_rate: int, stages: Iterable[tuple[str, nn.Module]]) -> str:
    """The text that `read_toml` reads.

    Raises:
        TypeError: a stage of one's own that has no stage name.

    >>> print(write_toml(16000, [("relu", nn.ReLU()), ("relu_2", nn.ReLU())]), end="")
    sample_rate = 16000
    <BLANKLINE>
    [[stages]]
    stage = "relu"
    <BLANKLINE>
    [[stages]]
    stage = "relu"
    name = "relu_2"
    """
    lines = [f"sample_rate = {sample_rate}"]
    for table in describe_stages(stages):
        lines += ["", "[[stages]]", *(f"{key} = {_toml(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def describe_stages(stages: Iterable[tuple[str, nn.Module]]) -> list[Table]:
    """The table of each stage; with its name where that is not the stage's own.

    Raises:
        TypeError: a stage of one's own that has no stage name.
    """
    tables: list[Table] = []
    for name, layer in stages:
        table = describe_stage(layer)
        named = {"name": name} if name != NAMES[type(layer)] else {}
        tables.append({"stage": table.pop("stage"), **named, **table})
    return tables


def stage_names(tables: Sequence[Table], where: str) -> list[str]:
    """Each stage's own name, else its kind, numbered from the second of a kind on."""
    names: list[str] = []
    for table in tables:
        kind = str(table.get("stage"))
        name = table.get("name") or _free_name(kind, names)
        if name in names:
            raise ValueError(f"two stages in {where} are named {name!r}.")
        names.append(name)
    return names


def named_by_kind(layers: Sequence[nn.Module]) -> dict[str, nn.Module]:
    """Layers by their stage names, numbered likewise; one of one's own by its class.

    >>> list(named_by_kind([nn.ReLU(), nn.Tanh(), nn.ReLU()]))
    ['relu', 'tanh', 'relu_2']
    """
    names: list[str] = []
    for layer in layers:
        names.append(_free_name(NAMES.get(type(layer), type(layer).__name__.lower()), names))
    return dict(zip(names, layers, strict=True))


def _free_name(kind: str, taken: Sequence[str]) -> str:
    """The kind itself, else kind_2, kind_3, ..."""
    candidates = chain([kind], (f"{kind}_{number}" for number in count(2)))
    return next(name for name in candidates if name not in taken)


def _override(spec: Table, overrides: Mapping[str, Any], where: str) -> Table:
    """`spec` with other values: {"sample_rate": 8000}, {"mel.n_mels": 40} or {"mel": {"n_mels": 40}}."""
    names = stage_names(spec["stages"], where)
    for key, value in overrides.items():
        if key == "sample_rate":
            spec["sample_rate"] = value
            continue
        name, _, field = key.partition(".")
        check_known([name], ("sample_rate", *names), "stage or key", where)
        if not field and not isinstance(value, Mapping):
            raise ValueError(f"{name!r} in {where} is a stage; set its keys as {name}.KEY=VALUE.")
        spec["stages"][names.index(name)].update({field: value} if field else value)
    return spec


def _toml(value: Any) -> str:
    """A TOML value on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, str | bool):
        return json.dumps(value, ensure_ascii=False)  # TOML has no surrogate pairs
    return repr(value.item() if isinstance(value, np.generic) else value)
