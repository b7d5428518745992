"""Tensors of other people's files, read without running anything that is in them.

.safetensors               names and numbers, nothing else
.pt .pth .bin .ckpt        torch.load(weights_only=True); nested dicts and lists become dotted names
TorchScript, any suffix    its pickle alone, by `read_torchscript`; its code stays unread
.onnx                      initialisers and constants, by `read_onnx`, with the stride of each convolution
"""

from __future__ import annotations

import os
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from speechconv.verification.filter_bank import Layout

TORCH_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".jit", ".ts")
SUFFIXES = (".safetensors", ".onnx", *TORCH_SUFFIXES)


@dataclass(frozen=True)
class WeightFile:
    """What a file holds.

    Attributes:
        where: the file, for messages.
        tensors: floating and complex tensors by name, in the type that they have there.
        strides: of the convolution that a tensor is the kernel of, where the file tells.
        layouts: how pairs lie in a tensor, where the file tells.
    """

    where: str
    tensors: Mapping[str, Tensor]
    strides: Mapping[str, int] = field(default_factory=dict)
    layouts: Mapping[str, Layout] = field(default_factory=dict)


def read_weight_file(path: str | os.PathLike[str]) -> WeightFile:
    """Every floating or complex tensor in the file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a folder, an empty or damaged file, one of another kind, or one that only its own code could read.
        ImportError: an ONNX file without the package onnx.
    """
    path = Path(path)
    _check_readable(path)
    if path.suffix == ".safetensors":
        return _weight_file(path, _safetensors(path))
    if path.suffix == ".onnx":
        from speechconv.verification.onnx_file import read_onnx

        return _weight_file(path, *read_onnx(path))
    return _weight_file(path, _torch_file(path))


def tensor_names(path: str | os.PathLike[str]) -> list[str]:
    """Of every tensor in a file of .safetensors or torch's, whose numbers are not read where the file can be mapped.

    Raises:
        FileNotFoundError, ValueError: as `read_weight_file`.
    """
    path = Path(path)
    _check_readable(path)
    return list(_safetensors_names(path) if path.suffix == ".safetensors" else _torch_file(path))


def _check_readable(path: Path) -> None:
    if path.is_dir():
        raise ValueError(f"{path} is a folder; pass the file with the weights in it.")
    if not path.exists():
        raise FileNotFoundError(f"no weights file at {path}.")
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path} is of no kind that verify reads: expected {', '.join(SUFFIXES)}.")
    if not path.stat().st_size:
        raise ValueError(f"{path} is empty.")


def _weight_file(path: Path, tensors: Mapping[str, Tensor], strides: Mapping[str, int] | None = None) -> WeightFile:
    floating = {
        name: tensor.detach()
        for name, tensor in tensors.items()
        if (tensor.is_floating_point() or tensor.is_complex()) and tensor.layout == torch.strided
    }
    if not floating:
        raise ValueError(f"{path} holds no floating tensors, and so no filters.")
    return WeightFile(str(path), floating, strides or {})


def _safetensors(path: Path) -> dict[str, Tensor]:
    with _opened_safetensors(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict


def _safetensors_names(path: Path) -> list[str]:
    with _opened_safetensors(path) as file:
        return list(file.keys())


@contextmanager
def _opened_safetensors(path: Path) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file: {_first_line(error)}") from None


def _torch_file(path: Path) -> dict[str, Tensor]:
    from speechconv.verification.torchscript import is_torchscript, read_torchscript

    zipped = zipfile.is_zipfile(path)
    if zipped and is_torchscript(path):
        return read_torchscript(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a pickle that it does not know, torch advises to run its code
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except Exception as error:  # a file that is none of torch's fails in any way
        raise ValueError(_why_unread(path, error)) from None
    return dict(flatten(content))


def _why_unread(path: Path, error: Exception) -> str:
    """torch's own words would advise to run the code in the file."""
    advice = "save the state_dict() alone: torch.save(model.state_dict(), 'weights.pt')."
    found = re.search(r"GLOBAL (\w[\w.]*)", str(error))
    if found:
        return (
            f"{path} holds more than tensors ({found[1]}): reading it would run code, which verify never does; {advice}"
        )
    return f"{path} is not a whole file of torch's that can be read without running code in it; {advice}"


def flatten(content: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Every tensor in nested dicts and lists, under its dotted name.

    >>> [name for name, _ in flatten({"model": {"conv": torch.zeros(1)}, "ema": [torch.zeros(1)], "epoch": 3})]
    ['model.conv', 'ema.0']
    """
    if isinstance(content, Tensor):
        yield name or "tensor", content
        return
    parts = content.items() if isinstance(content, Mapping) else enumerate(content) if _is_list(content) else ()
    for key, part in parts:
        yield from flatten(part, f"{name}.{key}" if name else str(key))


def _is_list(content: Any) -> bool:
    return isinstance(content, list | tuple)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or "no reason given"
