"""Random access to what `extract` or `convert` stored, for training: by id, as a torch Dataset, in batches by length.

The manifest is read once, and of each line only the id, the number of frames and the place are kept. Files open when
they are first needed, in each process anew, so that a reader works in a DataLoader's workers.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Sequence
from operator import index
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from speechconv.checks import check_count
from speechconv.stores.item import Rows
from speechconv.stores.manifest import ManifestLine, decode_line, manifest_of
from speechconv.stores.open_shards import DamagedFeatures, OpenShards, explained

SPREAD = 0.1
"""Shuffled batches mix lengths that differ by about this part."""


class FeatureReader:
    """The features in a folder; a context manager.

    Args:
        folder: that `extract`, `merge` or `convert` wrote, in any store.

    Attributes:
        folder: as given.
        ids: in the order of the manifest.
        lengths: frames of each, int64, (items,).

    Raises:
        FileNotFoundError: no manifest there.
        ValueError: a manifest that speechconv did not write, or one with an id twice.

    Example:
        >>> import numpy, soundfile, tempfile
        >>> from speechconv.extraction import extract
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     soundfile.write(f"{folder}/tone.wav", numpy.sin(numpy.arange(16000.0)), 16000)
        ...     summary = extract(f"{folder}/tone.wav", out=f"{folder}/features")
        ...     with FeatureReader(f"{folder}/features") as reader:
        ...         reader.ids, reader["tone"].shape
        (['tone'], torch.Size([101, 80]))
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._manifest = manifest_of(self.folder)
        self.ids: list[str] = []
        places, frames = array("q", [0]), array("q")
        with open(self._manifest, "rb") as file:
            for number, data in enumerate(file, 1):
                if data.endswith(b"\n"):
                    line = decode_line(data, ManifestLine, f"{self._manifest}, line {number}")
                    self.ids.append(line.id)
                    frames.append(line.frames)
                    places.append(places[-1] + len(data))
        self._places = places
        self.lengths = torch.tensor(frames, dtype=torch.int64)
        self._numbers = {id: number for number, id in enumerate(self.ids)}
        if len(self._numbers) < len(self.ids):
            raise ValueError(f"{self._manifest} names an id twice; `speechconv check {self.folder}` says which.")
        self._shards = OpenShards(self.folder)
        self._process = os.getpid()

    def __len__(self) -> int:
        """Number of items."""
        return len(self.ids)

    def __contains__(self, id: object) -> bool:
        return id in self._numbers

    def __getitem__(self, item: str | int) -> Tensor:
        """Features by id, or by number in the manifest: (frames, channels) float32, whatever dtype is stored."""
        return torch.from_numpy(self.numpy(item).astype(np.float32, copy=False))

    def numpy(self, item: str | int) -> Rows:
        """Features by id, or by number in the manifest: (frames, channels) in the dtype that is stored.

        Raises:
            KeyError: no such id.
            IndexError: no such number.
            ValueError: the features are missing or damaged.
        """
        line = self.line(item)
        if os.getpid() != self._process:
            self._shards.close()  # a forked worker shares its parent's files and where they stand
            self._process = os.getpid()
        try:
            rows = self._shards.read(line)
        except DamagedFeatures as error:
            raise explained(error, self.folder, line) from error
        return rows if rows.flags.writeable else rows.copy()

    def line(self, item: str | int) -> ManifestLine:
        """The manifest's line of an item.

        Raises:
            KeyError: no such id.
            IndexError: no such number.
        """
        number = self._number(item)
        start, end = self._places[number : number + 2]
        with open(self._manifest, "rb", buffering=0) as file:
            file.seek(start)
            return decode_line(file.read(end - start), ManifestLine, f"{self._manifest}, byte {start}")

    def dataset(self) -> FeatureDataset:
        """These features as a torch Dataset of (id, features)."""
        return FeatureDataset(self)

    def batches(self, max_frames: int, *, seed: int | None = None) -> FeatureBatches:
        """These features in padded batches of items that are about equally long.

        Args:
            max_frames: of a batch with its padding; only an item that is longer alone makes a larger one.
            seed: shuffles which items of like length meet, and the order of the batches; a new one for each epoch.
                None takes items from short to long.
        """
        return FeatureBatches(self, max_frames, seed)

    def close(self) -> None:
        """Close all files; a later access opens them again."""
        self._shards.close()

    def __enter__(self) -> FeatureReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if "_shards" in self.__dict__:
            self.close()

    def __getstate__(self) -> dict[str, object]:
        """Without the open files."""
        return {**self.__dict__, "_shards": OpenShards(self.folder)}

    def _number(self, item: str | int) -> int:
        if isinstance(item, str):
            if item not in self._numbers:
                raise KeyError(
                    f"{self.folder} holds no id {item!r}; it has {len(self)}, which `reader.ids` lists, and "
                    "errors.jsonl and skipped.jsonl tell about inputs without features."
                )
            return self._numbers[item]
        number = index(item)
        if not -len(self) <= number < len(self):
            raise IndexError(f"{self.folder} holds {len(self)} items; expected a number below that, got {number}.")
        return number % len(self)


class FeatureDataset(Dataset[tuple[str, Tensor]]):
    """(id, features) by number, as torch's DataLoader takes it.

    Args:
        reader: of the features.
    """

    def __init__(self, reader: FeatureReader) -> None:
        self.reader = reader

    def __len__(self) -> int:
        return len(self.reader)

    def __getitem__(self, number: int) -> tuple[str, Tensor]:
        return self.reader.ids[number], self.reader[number]


class FeatureBatch(NamedTuple):
    """Some items, padded with zeros to the longest.

    Attributes:
        ids: of the items.
        features: (batch, frames, channels) float32.
        lengths: frames of each that are no padding, int64, (batch,).
    """

    ids: list[str]
    features: Tensor
    lengths: Tensor


class FeatureBatches(Dataset[FeatureBatch]):
    """Batches by number: iterate over it, or give it to DataLoader(batches, batch_size=None, num_workers=2).

    Args:
        reader, max_frames, seed: as `FeatureReader.batches`.
    """

    def __init__(self, reader: FeatureReader, max_frames: int, seed: int | None) -> None:
        self.reader = reader
        self._batches = _plan(reader.lengths.numpy(), check_count("max_frames", max_frames), seed)

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, number: int) -> FeatureBatch:
        members = self._batches[number].tolist()
        features = [self.reader[member] for member in members]
        if len({rows.shape[1] for rows in features}) > 1:
            raise ValueError("expected features of one width in a batch, got items with different channels.")
        padded = torch.nn.utils.rnn.pad_sequence(features, batch_first=True)
        return FeatureBatch([self.reader.ids[member] for member in members], padded, self.reader.lengths[members])


def _plan(lengths: NDArray[np.int64], max_frames: int, seed: int | None) -> Sequence[NDArray[np.int64]]:
    """Numbers of the items in each batch."""
    generator = None if seed is None else np.random.default_rng(seed)
    key = lengths if generator is None else lengths * generator.uniform(1 - SPREAD, 1 + SPREAD, len(lengths))
    order = np.argsort(key, kind="stable")
    cuts, start, longest = [], 0, 1
    for position, length in enumerate(lengths[order].tolist()):
        if position > start and max(longest, length) * (position + 1 - start) > max_frames:
            cuts.append(position)
            start, longest = position, 1
        longest = max(longest, length)
    batches = np.split(order, cuts) if len(order) else []
    if generator is not None:
        batches = [batches[number] for number in generator.permutation(len(batches))]
    return batches
