"""What a named file is: a sound, or a list of them; told by its name where that is plain, else by its first line.

*.scp                                   Kaldi wav.scp
*.csv, *.tsv, or a header that fits     table
*.jsonl, or a first line with {...}     JSON lines, lhotse's or NeMo's
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from speechconv.extraction.inputs.files import EXTENSIONS
from speechconv.extraction.inputs.item import Input
from speechconv.extraction.inputs.json_lines import parse, read_json_lines
from speechconv.extraction.inputs.kaldi import read_wav_scp
from speechconv.extraction.inputs.lhotse import is_lhotse, read_lhotse
from speechconv.extraction.inputs.lines import DAMAGE, MARK, Reading, decode, lines_of, open_list
from speechconv.extraction.inputs.table import PATHS, delimiter_of, read_table

JSON_LINES = (".jsonl", ".ndjson")
TABLES = (".csv", ".tsv")
BARE_LISTS = (".txt", ".lst", ".list")
SNIFFED = 1 << 16
"""Bytes of a first line that are looked at."""


def is_kaldi_list(path: str) -> bool:
    """Whether a file is called as Kaldi calls its lists."""
    return _extension(path) == ".scp"


def read_list(path: str, segments: str | None, allow_commands: bool) -> Reading | None:
    """The sounds that a file lists; None where it is a sound itself, or nothing that is known.

    Args:
        path: of the file.
        segments, allow_commands: as for `find_inputs`.
    """
    extension = _extension(path)
    if extension in EXTENSIONS or not os.path.isfile(path):
        return None
    if is_kaldi_list(path):
        return read_wav_scp(path, segments, allow_commands)
    try:
        first = _first_line(path)
    except DAMAGE as error:
        return Reading("damaged list", _only(path, f"the list is damaged behind line 0: {error}"))
    except OSError:
        return None  # opening it as a sound says why
    if extension in JSON_LINES or first.startswith("{"):
        return _read_json(path, allow_commands)
    delimiter = delimiter_of(first)
    if delimiter and (extension in TABLES or delimiter in first):
        return read_table(path, delimiter)
    problem = _problem(extension, first)
    return Reading("unknown", _only(path, problem)) if problem else None


def _extension(path: str) -> str:
    """Of a list, below a packing."""
    stem = path.removesuffix(".gz")
    return os.path.splitext(stem)[1].lower()


def _first_line(path: str) -> str:
    """What the first line begins with."""
    with open_list(path) as file:
        return decode(file.readline(SNIFFED).removeprefix(MARK).lstrip())


def _read_json(path: str, allow_commands: bool) -> Reading:
    entry = _first_entry(path)
    return read_lhotse(path, entry, allow_commands) if is_lhotse(entry) else read_json_lines(path)


def _first_entry(path: str) -> dict[str, Any]:
    """The first object of a list, which tells whose list it is; nothing where it has none."""
    try:
        for line in lines_of(path):
            try:
                return parse(line)
            except ValueError:
                continue
    except (OSError, ValueError):
        pass
    return {}


def _problem(extension: str, first: str) -> str | None:
    """Why a file that is no sound is no list either; None where it may be a sound."""
    if extension in TABLES:
        return f"the table's header {first[:80]!r} has no column of paths; expected one of {', '.join(PATHS)}."
    if extension == ".json" and first.startswith("["):
        return "is a JSON array; expected a JSON object a line (.jsonl)."
    if extension in BARE_LISTS and first and "\0" not in first:
        return "is text, not a sound; if it has a path a line, give it on stdin: speechconv extract - < FILE."
    return None


def _only(path: str, problem: str) -> Iterator[Input]:
    yield Input(os.path.basename(path), path, problem=problem)
