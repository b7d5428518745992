"""Parameters and buffers of a TorchScript archive, without torch.jit.load, which would run the file's own code.

An archive is a zip: NAME/code/*.py (never read here), NAME/data.pkl (modules as objects, tensors by reference) and
NAME/data/N (the numbers). The pickle may name classes of the archive's own, which become plain holders of attributes,
and the few builders of tensors in BUILDERS; anything else is refused.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


def is_torchscript(path: Path) -> bool:
    """A zip with the pickle of constants that only TorchScript archives have."""
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def read_torchscript(path: Path) -> dict[str, Tensor]:
    """Every tensor of the module and its submodules, by dotted name.

    Raises:
        ValueError: a damaged archive, or a pickle that asks for more than tensors.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            pickled = next(name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl"))
            module = _Unpickler(archive, pickled).load()
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path} holds more than tensors: {error}") from None
    except Exception as error:  # any byte of it may be wrong
        raise ValueError(f"{path} is not a whole TorchScript file: {type(error).__name__}: {error}") from None
    return dict(_tensors(module, "", set()))


class _Held:
    """A module or other object of the archive's own classes: its attributes, or whatever else its state is."""

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _tensors(content: Any, name: str, seen: set[int]) -> Iterator[tuple[str, Tensor]]:
    if isinstance(content, Tensor):
        yield name or "tensor", content
        return
    if id(content) in seen:  # a module may be shared, or hold itself
        return
    seen.add(id(content))
    if isinstance(content, _Held):
        yield from _tensors(content.__dict__.get("state"), name, seen)
        return
    parts = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, part in parts:
        yield from _tensors(part, f"{name}.{key}" if name else str(key), seen)


class _Unpickler(pickle.Unpickler):
    """Knows tensors, lists, dicts and holders; runs nothing else."""

    def __init__(self, archive: zipfile.ZipFile, pickled: str) -> None:
        super().__init__(io.BytesIO(archive.read(pickled)))
        self.archive = archive
        self.folder = pickled.removesuffix("data.pkl")

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("__torch__"):
            return _Held
        if (module, name) in BUILDERS:
            return BUILDERS[module, name]
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which verify never runs.")

    def persistent_load(self, pid: Any) -> Tensor:
        """("storage", type, file, device, elements) -> its numbers as a flat tensor."""
        _, dtype, key, _, count = pid
        data = self.archive.read(f"{self.folder}data/{key}")
        if len(data) != count * dtype.itemsize:
            raise ValueError(f"tensor {key} has {len(data)} bytes, expected {count * dtype.itemsize}")
        return torch.frombuffer(bytearray(data), dtype=dtype) if data else torch.empty(0, dtype=dtype)


def _tensor(storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Tensor:
    return storage.as_strided(size, stride, offset)


def _first(value: Any, *_: Any) -> Any:
    return value


BUILDERS: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch.jit._pickle", "build_intlist"): _first,
    ("torch.jit._pickle", "build_doublelist"): _first,
    ("torch.jit._pickle", "build_boollist"): _first,
    ("torch.jit._pickle", "build_tensorlist"): _first,
    ("torch.jit._pickle", "restore_type_tag"): _first,
}
STORAGES = {
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
    "BoolStorage": torch.bool,
    "ByteStorage": torch.uint8,
    "CharStorage": torch.int8,
    "ShortStorage": torch.int16,
    "IntStorage": torch.int32,
    "LongStorage": torch.int64,
}
