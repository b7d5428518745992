"""Files, folders and globs -> what to read, under which id, in a fixed order.

corpus          corpus/a/x.wav      id a/x
corpus/*/*.wav  corpus/a/x.wav      id a/x      the part of a glob without magic stands for the folder
corpus/a/x.wav                      id x
x.wav, x.flac   in one folder       ids x.wav and x.flac
"""

from __future__ import annotations

import glob
import os
import posixpath
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

EXTENSIONS = (".wav", ".flac", ".ogg", ".mp3")
"""What folders and globs are searched for, in any case. A file that is named itself may have any extension."""


@dataclass(frozen=True, slots=True)
class Input:
    """One sound to extract, or a segment of one.

    Attributes:
        id: its name in the manifest; a path has "/".
        audio: its path as found, or the command that writes it to stdout as WAV.
        start, duration: of the segment, in seconds; duration None: to the end of the sound.
        channel: number of the channel that is wanted; None: what the run says.
        is_command: `audio` is a shell command.
        problem: why it cannot be extracted, known before opening it.
        stage, error: where and as what class of error the problem showed, as in errors.jsonl.
    """

    id: str
    audio: str
    start: float = 0.0
    duration: float | None = None
    channel: int | None = None
    is_command: bool = False
    problem: str | None = None
    stage: str = "input"
    error: str = "ValueError"


@dataclass
class Found:
    items: list[Input]
    statements: list[str]


def find_inputs(named: Sequence[str | os.PathLike[str]], **_) -> Found:
    """Everything that `named` files, folders and globs stand for; inputs with a problem keep their place.

    Raises:
        ValueError: nothing was found at all, or a glob leads out of its own folder.
    """
    found = [item for name in named for item in _find(os.fspath(name))]
    if all(item.problem for item in found):
        problems = "; ".join(f"{item.audio}: {item.problem}" for item in found) or "no input was named."
        raise ValueError(f"nothing to extract: {problems}")
    return Found(_refuse_same_output(_with_extensions(_refuse_same_file(found))), [])


def _find(name: str) -> Iterator[Input]:
    if os.path.isdir(name):
        yield from _from_folder(name)
    elif os.path.lexists(name) or not glob.has_magic(name):
        missing = None if os.path.lexists(name) else "no such file or folder."
        yield Input(_stem(os.path.basename(name)), name, problem=missing)
    else:
        yield from _from_glob(name)


def _from_folder(folder: str) -> Iterator[Input]:
    """Its sounds, and below it the folders that cannot be looked into."""
    closed: list[OSError] = []
    found = [Input(_stem(_relative(path, folder)), path) for path in _walk(folder, closed.append)]
    found += [_closed_folder(error, folder) for error in closed]
    if not found:
        yield Input(_stem(_own_name(folder)), folder, problem=f"the folder holds no {_KINDS} file.")
    yield from sorted(found, key=lambda item: _relative(item.audio, folder))


def _closed_folder(error: OSError, folder: str) -> Input:
    place = os.fspath(error.filename)
    below = _relative(place, folder)
    return Input(
        _own_name(folder) if below == os.curdir else below,
        place,
        problem=f"the folder cannot be opened: {error.strerror}.",
        stage="open",
        error=type(error).__name__,
    )


def _own_name(folder: str) -> str:
    return os.path.basename(os.path.abspath(folder))


def _from_glob(pattern: str) -> Iterator[Input]:
    folder = _plain_part(pattern)
    matches = glob.glob(pattern, recursive=True)
    paths = sorted({path for path in matches if _is_audio(path) and os.path.isfile(path)})
    if not paths:
        yield Input(_stem(os.path.basename(pattern)), pattern, problem=f"no {_KINDS} file matches.")
    for path in paths:
        id = _stem(_relative(path, folder))
        if id.startswith("../"):
            raise ValueError(f"{pattern}: '..' behind a wildcard leads out of {folder or 'the folder'}; drop it.")
        yield Input(id, path)


_KINDS = "wav, flac, ogg or mp3"


def _walk(folder: str, onerror: Callable[[OSError], None]) -> Iterator[str]:
    """Audio files below `folder`; links to folders are followed, each folder once, and hidden names are left out."""
    seen: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True, onerror=onerror):
        seen.add(os.path.realpath(place))
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and os.path.realpath(os.path.join(place, name)) not in seen
        )
        yield from (os.path.join(place, name) for name in files if _is_audio(name))


def _is_audio(path: str) -> bool:
    name = os.path.basename(path)
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in EXTENSIONS


def _plain_part(pattern: str) -> str:
    """The folders of a glob before its first wildcard."""
    while glob.has_magic(pattern):
        pattern = os.path.dirname(pattern)
    return pattern


def _relative(path: str, folder: str) -> str:
    return os.path.relpath(path, folder or os.curdir).replace(os.sep, "/")


def _stem(path: str) -> str:
    return posixpath.splitext(path)[0]


def _refuse_same_file(items: list[Input]) -> list[Input]:
    """Of a file that is named twice, the first stays."""
    first: set[str] = set()
    kept = []
    for item in items:
        path = os.path.abspath(item.audio)
        again = item.problem is None and path in first
        kept.append(replace(item, problem="this file was named before; it is extracted once.") if again else item)
        first.add(path)
    return kept


def _with_extensions(items: list[Input]) -> list[Input]:
    """x.wav beside x.flac: all of the same id keep their extensions."""
    extensions: defaultdict[str, set[str]] = defaultdict(set)
    for item in items:
        if item.problem is None:
            extensions[item.id].add(_extension(item))
    return [
        replace(item, id=item.id + _extension(item)) if item.problem is None and len(extensions[item.id]) > 1 else item
        for item in items
    ]


def _extension(item: Input) -> str:
    return os.path.splitext(item.audio)[1]


def _refuse_same_output(items: list[Input]) -> list[Input]:
    """Of inputs that would write the same feature file, the first stays."""
    writer: dict[str, str] = {}
    kept = []
    for item in items:
        if item.problem is None and item.id in writer:
            problem = f"would write the same {item.id}.npy as {writer[item.id]}; extract it into another folder."
            item = replace(item, problem=problem)
        elif item.problem is None:
            writer[item.id] = item.audio
        kept.append(item)
    return kept
