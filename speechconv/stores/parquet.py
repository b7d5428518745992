"""The parquet store: a row for each id; read by pyarrow, pandas, Hugging Face datasets, DuckDB, Spark.

    id string | frames int32 | channels int32 | features list<float or halffloat>, row by row     zstd

    np.asarray(row.features, np.float32).reshape(row.frames, row.channels)

Row groups are small, so that one id is read without its neighbours' shard. A row is in memory whole, and pyarrow needs
several times its size to write it: 0.75 GB for an hour of 80 channels at 100 frames/s. The other stores need none. Ids
are percent-encoded where a byte is no UTF-8.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from speechconv.stores.ids import encode, is_text
from speechconv.stores.item import Item, Rows
from speechconv.stores.store import Store, library

GROUP = 4 << 20
"""Bytes of features in a row group, about."""


def row_id(id: str) -> str:
    """The id as text.

    >>> row_id("spk/utt 2"), row_id("50%")
    ('spk/utt 2', '50%25')
    """
    return encode(id, is_text)


def write(path: Path, items: Sequence[Item]) -> list[str]:
    pa, pq = library("pyarrow", "parquet"), library("pyarrow.parquet", "parquet")
    value = {"float32": pa.float32(), "float16": pa.float16()}[items[0].dtype.name]
    columns = {"id": pa.string(), "frames": pa.int32(), "channels": pa.int32(), "features": pa.list_(value)}
    schema = pa.schema(columns)
    options = {"compression": "zstd", "use_dictionary": False, "write_statistics": ["id", "frames"]}
    with pq.ParquetWriter(path, schema, **options) as writer:
        for group in _groups(items):
            ends = np.cumsum([0, *(item.shape[0] * item.shape[1] for item in group)], dtype=np.int64)
            features = pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(_values(group, ends[-1]), value))
            frames, channels = zip(*(item.shape for item in group), strict=True)
            ids = [row_id(item.id) for item in group]
            data = [pa.array(ids), pa.array(frames, pa.int32()), pa.array(channels, pa.int32()), features]
            writer.write_table(pa.Table.from_arrays(data, schema=schema))
    return [row_id(item.id) for item in items]


def _values(group: Sequence[Item], count: int) -> Rows:
    """All numbers of some items, one after the other, in one piece of memory."""
    values = np.empty(count, group[0].dtype)
    end = 0
    for block in (block for item in group for block in item.blocks()):
        start, end = end, end + block.size
        values[start:end] = block.reshape(-1)
    return values


def _groups(items: Sequence[Item]) -> Iterator[list[Item]]:
    group: list[Item] = []
    size = 0
    for item in items:
        group.append(item)
        size += item.nbytes
        if size >= GROUP:
            yield group
            group, size = [], 0
    if group:
        yield group


class Parquet:
    """A shard; which row holds which id is found once. The last row group stays, for reading in order."""

    def __init__(self, path: Path) -> None:
        self._file = library("pyarrow.parquet", "parquet").ParquetFile(path)
        self._rows: dict[str, tuple[int, int, int, int]] = {}
        for group in range(self._file.num_row_groups):
            table = self._file.read_row_group(group, ["id", "frames", "channels"])
            for row, (id, *shape) in enumerate(zip(*(column.to_pylist() for column in table.columns), strict=True)):
                self._rows[id] = (group, row, *shape)
        self._group, self._features = -1, None

    def read(self, key: str) -> Rows:
        group, row, frames, channels = self._rows[key]
        if group != self._group:
            self._features: Any = self._file.read_row_group(group, ["features"]).column(0).combine_chunks()
            self._group = group
        return self._features[row].values.to_numpy().reshape(frames, channels)

    def keys(self) -> Iterator[str]:
        return iter(self._rows)

    def close(self) -> None:
        self._file.close()


PARQUET = Store("parquet", ".parquet", write, Parquet, library="pyarrow", extra="parquet")
