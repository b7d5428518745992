"""A list of paths on stdin, one a line (`find ... |`), or each ended by a NUL (`find ... -print0 |`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from speechconv.extraction.inputs.item import Input, id_of_path, listed
from speechconv.extraction.inputs.lines import Line, Reading, decode, guarded

STDIN = "-"


def read_stdin(stdin: BinaryIO, null_separated: bool) -> Reading:
    """The sounds that stdin lists."""
    return Reading("list of paths", guarded("stdin", _paths(stdin, null_separated), _sound))


def _paths(stdin: BinaryIO, null_separated: bool) -> Iterator[Line]:
    lines = stdin.read().split(b"\0") if null_separated else stdin
    for number, line in enumerate(lines, 1):
        text = line.decode("utf-8", "surrogateescape") if null_separated else decode(line)
        if text:
            yield Line(number, text)


def _sound(line: Line) -> Input:
    if "\0" in line.text:
        raise ValueError("no path holds a NUL; if each ends in one (find -print0), use -0 (null_separated).")
    return listed(id_of_path(line.text), line.text)
