"""find_inputs: everything that is named, whatever kind of thing names it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from speechconv.extraction.inputs.channels import each_channel_of
from speechconv.extraction.inputs.files import find_sounds, settle
from speechconv.extraction.inputs.item import Input
from speechconv.extraction.inputs.kaldi import WAV_SCP
from speechconv.extraction.inputs.kind import is_kaldi_list, read_list
from speechconv.extraction.inputs.lines import Reading
from speechconv.extraction.inputs.stdin_list import STDIN, read_stdin
from speechconv.extraction.inputs.unique import refuse_same_id

PROBLEMS_TOLD = 5


@dataclass(frozen=True)
class Found:
    """What `find_inputs` found.

    Attributes:
        items: the sounds in order; those with a problem keep their place.
        statements: how each named input was read, a line each, for people.
    """

    items: list[Input]
    statements: list[str]


def find_inputs(
    named: Sequence[str | os.PathLike[str]],
    *,
    segments: str | None = None,
    allow_commands: bool = False,
    null_separated: bool = False,
    each_channel: bool = False,
    stdin: BinaryIO | None = None,
) -> Found:
    """Everything that `named` files, folders, globs and lists stand for.

    Args:
        named: sounds; folders, searched for sounds unless they hold a wav.scp; globs; lists (Kaldi wav.scp, JSON lines
            of NeMo, Hugging Face and lhotse, also gzipped, CSV and TSV); "-" for a list of paths on stdin.
        segments: Kaldi segments for the one wav.scp among them; "none" takes whole recordings; None takes the file
            "segments" beside wav.scp if there is one.
        allow_commands: run the shell commands that lists name; else they are inputs with a problem.
        null_separated: the list on stdin has a NUL behind each path instead of a line ending.
        each_channel: an input for each channel, ID_ch0, ID_ch1, ..., by the header of each sound.
        stdin: where "-" reads; None: this process's.

    Raises:
        ValueError: nothing usable was found at all, a glob leads out of its own folder, or an argument without what
            it belongs to.

    Example:
        >>> import os, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with open(f"{folder}/wav.scp", "w") as file:
        ...         _ = file.write("a /data/a.wav\\nb sph2pipe b.sph |\\n")
        ...     found = find_inputs([folder])
        >>> [item.id for item in found.items if item.problem is None]
        ['a']
        >>> found.statements[0].replace(folder + os.sep, "")
        'wav.scp: Kaldi wav.scp, 1 sound, 1 line that cannot be used'
    """
    names = [os.fspath(name) for name in named]
    _check(names, segments, null_separated)
    items: list[Input] = []
    statements: list[str] = []
    by_path: list[int] = []  # places of sounds that no list gave an id
    plain = 0
    for place, name in enumerate(names):
        reading = _read(name, names.index(name) < place, segments, allow_commands, null_separated, stdin)
        before = len(items)
        if reading is None:
            kind, found = find_sounds(name)
            items += found
            by_path += range(before, len(items))
            plain += kind == "file"
        else:
            kind = reading.kind
            items += list(reading.items) or [Input(name, name, problem="the list names no sound.")]
        if kind != "file":
            statements.append(_statement(name, kind, items[before:]))
    if plain:
        statements.append(f"{plain:,} named {'file' if plain == 1 else 'files'}")
    for place, item in zip(by_path, settle([items[place] for place in by_path]), strict=True):
        items[place] = item
    items = list(refuse_same_id(each_channel_of(items) if each_channel else items))
    _check_usable(items)
    return Found(items, statements)


def _check(names: list[str], segments: str | None, null_separated: bool) -> None:
    if null_separated and STDIN not in names:
        raise ValueError("null_separated says how a list on stdin is read, but '-' is not among the inputs.")
    kaldi = [name for name in names if is_kaldi_list(_list_of(name))]
    if segments not in (None, "none"):
        if len(kaldi) != 1:
            raise ValueError(f"segments (={segments}) belongs to one wav.scp; {len(kaldi)} are among the inputs.")
        if not os.path.isfile(segments):
            raise ValueError(f"segments (={segments}): no such file.")


def _list_of(name: str) -> str:
    """A Kaldi data folder's wav.scp, or `name` itself."""
    listed = os.path.join(name, WAV_SCP)
    return listed if os.path.isfile(listed) else name


def _read(
    name: str, again: bool, segments: str | None, allow_commands: bool, null_separated: bool, stdin: BinaryIO | None
) -> Reading | None:
    """What a list names; None where `name` is no list."""
    if name == STDIN:
        if again:
            return Reading("list of paths", _problem(name, "stdin was read before; it can be read once."))
        return read_stdin(stdin or sys.stdin.buffer, null_separated)
    return read_list(_list_of(name), segments, allow_commands)


def _problem(name: str, problem: str) -> Iterator[Input]:
    yield Input(name, name, problem=problem)


def _statement(name: str, kind: str, items: list[Input]) -> str:
    bad = sum(item.problem is not None for item in items)
    good = len(items) - bad
    usable = f"{good:,} {'sound' if good == 1 else 'sounds'}"
    lost = f", {bad:,} {'line' if bad == 1 else 'lines'} that cannot be used" if bad else ""
    return f"{'stdin' if name == STDIN else _list_of(name)}: {kind}, {usable}{lost}"


def _check_usable(items: list[Input]) -> None:
    if any(item.problem is None for item in items):
        return
    told = [_told(item) for item in items[:PROBLEMS_TOLD]] or ["no input was named."]
    more = len(items) - PROBLEMS_TOLD
    raise ValueError(f"nothing to extract: {'; '.join(told)}{f' ... and {more:,} more.' if more > 0 else ''}")


def _told(item: Input) -> str:
    problem = str(item.problem)
    return problem if problem.startswith(item.audio.rpartition(":")[0] + ", line ") else f"{item.audio}: {problem}"
