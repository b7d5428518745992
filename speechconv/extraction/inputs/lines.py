"""Lists as text: numbered lines, plain or gzipped, any bytes; a line that cannot be used is an input with a problem.

Bytes that are no UTF-8 are kept as Python keeps them in file names (surrogateescape).
"""

from __future__ import annotations

import contextlib
import gzip
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import IO, NamedTuple

from speechconv.extraction.inputs.item import Input

MARK = b"\xef\xbb\xbf"
"""Of byte order, in UTF-8."""
DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile)
"""What unpacking raises where the packing is damaged."""


class Line(NamedTuple):
    """A line of a list.

    Attributes:
        number: counted from 1.
        text: without its line ending.
    """

    number: int
    text: str


class Reading(NamedTuple):
    """How a list was read.

    Attributes:
        kind: in a word or two, such as "Kaldi wav.scp".
        items: what it names, a line that cannot be used too.
    """

    kind: str
    items: Iterator[Input]


@contextlib.contextmanager
def open_list(path: str) -> Iterator[IO[bytes] | gzip.GzipFile]:
    """The bytes of a list, unpacked.

    Raises:
        OSError: it cannot be opened.
    """
    with open(path, "rb") as file:
        if file.peek(2)[:2] != b"\x1f\x8b":
            yield file
            return
        with gzip.GzipFile(fileobj=file) as unpacked:
            yield unpacked


def lines_of(path: str) -> Iterator[Line]:
    """The lines of a list that hold anything.

    Raises:
        OSError: it cannot be read.
        ValueError: its packing is damaged.
    """
    number = 0
    try:
        with open_list(path) as file:
            for line in numbered(file):
                number = line.number
                yield line
    except DAMAGE as error:
        raise ValueError(f"the list is damaged behind line {number}: {error}") from error


def numbered(lines: Iterable[bytes]) -> Iterator[Line]:
    """Those of `lines` that hold anything, without the mark that Windows puts before the first."""
    for number, line in enumerate(lines, 1):
        text = decode(line.removeprefix(MARK) if number == 1 else line)
        if text and not text.isspace():
            yield Line(number, text)


def decode(line: bytes) -> str:
    """A line of bytes as text, without its line ending."""
    return line.decode("utf-8", "surrogateescape").rstrip("\r\n")


def inputs_of(path: str, read: Callable[[Line], Input]) -> Iterator[Input]:
    """What `read` makes of each line; its ValueErrors become problems, and so does the end of a damaged list."""
    yield from guarded(path, lines_of(path), read)


def guarded(path: str, lines: Iterator[Line], read: Callable[[Line], Input]) -> Iterator[Input]:
    """The same of lines that are there."""
    number = 0
    try:
        for line in lines:
            number = line.number
            try:
                yield read(line)
            except ValueError as error:
                yield bad_line(path, number, error)
    except (ValueError, OSError) as error:
        yield bad_line(path, number + 1, error)


def bad_line(path: str, number: int, error: Exception) -> Input:
    """The input that stands for a line that cannot be used."""
    place = f"{path}:{number}"
    reason = f"cannot be read: {error.strerror}." if isinstance(error, OSError) else str(error)
    return Input(place, place, problem=f"{path}, line {number}: {reason}", error=type(error).__name__)


def at_home(path: str, list_path: str, *folders: str, first: str = "here") -> str:
    """Where a listed path leads: a relative one counts from the working directory or from the list's folder.

    Args:
        path: as listed.
        list_path: of the list.
        folders: below the list's folder, to be searched too.
        first: "here" takes the working directory before the list's folder, "list" the other way round.
    """
    if not path or os.path.isabs(path):
        return path
    home = os.path.dirname(list_path)
    beside = [os.path.join(home, folder, path) for folder in ("", *folders)]
    if not home and not folders:
        return path
    for place in [path, *beside] if first == "here" else [*beside, path]:
        if "\0" not in place and os.path.exists(place):
            return place
    return path
