"""A list of paths on stdin, one a line (`find ... |`), or each ended by a NUL (`find ... -print0 |`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from speechconv.extraction.inputs.item import Input, id_of_path, listed
from speechconv.extraction.inputs.lines import Line, Reading, guarded, numbered

STDIN = "-"


def read_stdin(stdin: BinaryIO, null_separated: bool) -> Reading:
    """The sounds that stdin lists."""
    return Reading("list of paths", guarded("stdin", _paths(stdin, null_separated), _sound))


def _paths(stdin: BinaryIO, null_separated: bool) -> Iterator[Line]:
    if not null_separated:
        yield from numbered(stdin)
        return
    for number, path in enumerate(stdin.read().split(b"\0"), 1):
        if path:
            yield Line(number, path.decode("utf-8", "surrogateescape"))


def _sound(line: Line) -> Input:
    if "\0" in line.text:
        raise ValueError("no path holds a NUL; if each ends in one (find -print0), use -0 (null_separated).")
    return listed(id_of_path(line.text), line.text)
