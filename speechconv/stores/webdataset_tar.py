"""The tar store: KEY.npy members, as webdataset reads them, in the order of the manifest.

webdataset takes for a sample's name what stands before the first dot, and leaves out what begins as __name__/: dots in
an id, and such a beginning, are percent-encoded. All else of a member's header is constant: equal features make equal
archives.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from speechconv.stores.ids import file_name, is_text
from speechconv.stores.item import Item, Rows, npy_header, read_npy_header, read_rows, write_rows
from speechconv.stores.store import Store

SUFFIX = ".npy"


def tar_key(id: str) -> str:
    """What webdataset calls `__key__`.

    >>> tar_key("spk/utt.2")
    'spk/utt%2E2'
    """
    key = file_name(id, "", lambda char: char != "." and is_text(char) and char.isprintable())
    return f"%5F{key[1:]}" if key.startswith("__") else key


def write(path: Path, items: Sequence[Item]) -> list[str]:
    keys = [tar_key(item.id) for item in items]
    with open(path, "wb") as file:
        for key, item in zip(keys, items, strict=True):
            header = npy_header(item.shape, item.dtype)
            member = tarfile.TarInfo(key + SUFFIX)
            member.size = len(header) + item.nbytes
            file.write(member.tobuf(tarfile.PAX_FORMAT))
            file.write(header)
            write_rows(file, item)
            file.write(bytes(-member.size % tarfile.BLOCKSIZE))
        file.write(bytes(2 * tarfile.BLOCKSIZE))
    return keys


class Tar:
    """A tar of .npy; where each begins is found once, when it is opened."""

    def __init__(self, path: Path) -> None:
        try:
            with tarfile.open(path, "r:") as tar:
                self._places = {member.name: member.offset_data for member in tar}
        except tarfile.TarError as error:
            raise ValueError(f"{path} is no tar ({error}).") from None
        self._file = open(path, "rb")  # noqa: SIM115 - closed by close

    def read(self, key: str) -> Rows:
        self._file.seek(self._places[key + SUFFIX])
        shape, dtype = read_npy_header(self._file)
        if len(shape) != 2:
            raise ValueError(f"an array of shape {shape}; expected (frames, channels).")
        return read_rows(self._file, shape, dtype)

    def keys(self) -> Iterator[str]:
        return (name.removesuffix(SUFFIX) for name in self._places)

    def close(self) -> None:
        self._file.close()


TAR = Store("tar", ".tar", write, Tar)
