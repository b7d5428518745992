"""The kaldi store: binary archives with feats.scp; read by Kaldi, kaldiio, kaldi-native-io, ESPnet, lhotse.

    KEY SPACE  \\0 B  F M SPACE  \\4 rows(int32)  \\4 columns(int32)  rows x columns float32, little-endian

The key in the manifest is KEY:OFFSET of the \\0, so that path and key together are what feats.scp says. Kaldi takes no
matrix that has columns but no rows: features without frames are 0 x 0.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from speechconv.stores.ids import encode, is_text
from speechconv.stores.item import Item, Rows, array_item, read_rows, write_rows
from speechconv.stores.manifest import ManifestLine
from speechconv.stores.store import Store
from speechconv.stores.whole_file import whole_text

SCP, NUM_FRAMES = "feats.scp", "utt2num_frames"
MATRIX = struct.Struct("<5s b i b i")
FLOAT_MATRIX = b"\0BFM "


def kaldi_key(id: str) -> str:
    """The id as a word of Kaldi's: no spaces, nothing that cannot be seen.

    >>> kaldi_key("spk 1/utt.2")
    'spk%201/utt.2'
    """
    return encode(id, lambda char: is_text(char) and not char.isspace() and char.isprintable())


def write_record(file: BinaryIO, item: Item) -> None:
    """One item of an archive."""
    if item.dtype != np.dtype("<f4"):
        raise ValueError(f"Kaldi's archives hold float32, got {item.dtype} of {item.id!r}; store it as float32.")
    frames, channels = item.shape if item.shape[0] else (0, 0)
    file.write(kaldi_key(item.id).encode() + b" " + MATRIX.pack(FLOAT_MATRIX, 4, frames, 4, channels))
    write_rows(file, item)


def write(path: Path, items: Sequence[Item]) -> list[str]:
    keys = []
    with open(path, "wb") as file:
        for item in items:
            key = kaldi_key(item.id)
            keys.append(f"{key}:{file.tell() + len(key.encode()) + 1}")
            write_record(file, item)
    return keys


class Ark:
    """An archive, read at the offsets that the keys tell."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "rb")  # noqa: SIM115 - closed by close

    def read(self, key: str) -> Rows:
        name, _, offset = key.rpartition(":")
        word = name.encode() + b" "
        self._file.seek(int(offset) - len(word))
        if self._file.read(len(word)) != word:
            raise KeyError(f"no {name!r} at byte {offset}")
        return read_rows(self._file, self._shape(), np.dtype("<f4"))

    def keys(self) -> Iterator[str]:
        self._file.seek(0)
        while word := self._word():
            yield f"{word.decode()}:{self._file.tell()}"
            frames, channels = self._shape()
            self._file.seek(4 * frames * channels, os.SEEK_CUR)

    def _word(self) -> bytes:
        """What stands before the next space."""
        return b"".join(iter(lambda: self._file.read(1).replace(b" ", b""), b""))

    def _shape(self) -> tuple[int, int]:
        """Of the matrix whose header is read here."""
        offset = self._file.tell()
        header = self._file.read(MATRIX.size)
        if len(header) < MATRIX.size or not header.startswith(FLOAT_MATRIX):
            raise ValueError(f"no matrix of float32 at byte {offset}.")
        _, _, frames, _, channels = MATRIX.unpack(header)
        if frames < 0 or channels < 0:
            raise ValueError(f"a matrix of {frames} x {channels} at byte {offset}.")
        return frames, channels

    def close(self) -> None:
        self._file.close()


def index(out: Path, lines: Iterable[ManifestLine]) -> None:
    """feats.scp and utt2num_frames, sorted as Kaldi wants them; the archives by their full path."""
    folder = out.resolve()
    if "\n" in str(folder):
        raise ValueError(f"{str(folder)!r} has a line break in it, which no scp file can hold; choose another folder.")
    rows = sorted(
        (kaldi_key(line.id), f"{folder / line.path}:{(line.key or '').rpartition(':')[2]}", line.frames)
        for line in lines
    )
    with whole_text(out / SCP) as scp:
        scp.writelines(f"{key} {where}\n" for key, where, _ in rows)
    with whole_text(out / NUM_FRAMES) as num_frames:
        num_frames.writelines(f"{key} {frames}\n" for key, _, frames in rows)


class ArkStream:
    """An archive that goes into a pipe as its items get done: `ark:-`.

    Args:
        file: binary, open for writing; stays open.

    Example:
        >>> import io
        >>> pipe = io.BytesIO()
        >>> ArkStream(pipe).write("utt 1", np.ones((2, 3), np.float32))
        >>> pipe.getvalue()[:13]
        b'utt%201 \\x00BFM '
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, id: str, rows: Rows) -> None:
        """Add the features of one id, (frames, channels) float32; the reader gets them at once."""
        write_record(self._file, array_item(id, rows))
        self._file.flush()


KALDI = Store("kaldi", ".ark", write, Ark, dtypes=("float32",), index=index, index_files=(SCP, NUM_FRAMES))
