"""The safetensors store: a tensor for each id; read by safetensors in any language, without a copy.

    header length(uint64)  {"ID": {"dtype": "F32", "shape": [frames, channels], "data_offsets": [0, end]}, ...}  rows

features.safetensors.index.json tells which shard holds which id, as transformers does for the parts of a model. Only
the name "__metadata__", which the format keeps for itself, and bytes that are no UTF-8 are percent-encoded.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from speechconv.stores.ids import encode, is_text
from speechconv.stores.item import Item, Rows, read_rows, write_rows
from speechconv.stores.manifest import ManifestLine
from speechconv.stores.store import Store
from speechconv.stores.whole_file import whole_text

INDEX = "features.safetensors.index.json"
RESERVED = "__metadata__"
DTYPES = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2")}
NAMES = {dtype: name for name, dtype in DTYPES.items()}


def tensor_name(id: str) -> str:
    """The id as a tensor's name.

    >>> tensor_name("spk/utt.2"), tensor_name("__metadata__")
    ('spk/utt.2', '%5F_metadata__')
    """
    name = encode(id, is_text)
    return "%5F" + name[1:] if name == RESERVED else name


def write(path: Path, items: Sequence[Item]) -> list[str]:
    keys = [tensor_name(item.id) for item in items]
    header: dict[str, Any] = {RESERVED: {"format": "pt"}}
    end = 0
    for key, item in zip(keys, items, strict=True):
        begin, end = end, end + item.nbytes
        header[key] = {"dtype": NAMES[item.dtype], "shape": list(item.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for item in items:
            write_rows(file, item)
    return keys


class Safetensors:
    """A shard, read at the offsets that its header tells."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "rb")  # noqa: SIM115 - closed by close
        try:
            (size,) = struct.unpack("<Q", self._file.read(8))
            self._tensors = json.loads(self._file.read(min(size, path.stat().st_size)))
        except (struct.error, ValueError):
            self._file.close()
            raise ValueError(f"{path} is no safetensors file: its header is damaged.") from None
        self._start = 8 + size

    def read(self, key: str) -> Rows:
        tensor = self._tensors[key]
        self._file.seek(self._start + tensor["data_offsets"][0])
        frames, channels = tensor["shape"]
        return read_rows(self._file, (frames, channels), DTYPES[tensor["dtype"]])

    def keys(self) -> Iterator[str]:
        return (name for name in self._tensors if name != RESERVED)

    def close(self) -> None:
        self._file.close()


def index(out: Path, lines: Iterable[ManifestLine]) -> None:
    """Which shard holds which id."""
    total, places = 0, {}
    for line in lines:
        total += line.frames * line.channels * np.dtype(line.dtype).itemsize
        places[line.key] = line.path
    with whole_text(out / INDEX) as file:
        json.dump({"metadata": {"total_size": total}, "weight_map": places}, file, indent=0)


SAFETENSORS = Store("safetensors", ".safetensors", write, Safetensors, index=index, index_files=(INDEX,))
