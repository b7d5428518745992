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
from collections.abc import Callable, Iterator
from dataclasses import replace

from speechconv.extraction.inputs.item import Input

EXTENSIONS = (".wav", ".flac", ".ogg", ".mp3")
"""What folders and globs are searched for, in any case. A file that is named itself may have any extension."""


def find_sounds(name: str) -> tuple[str, list[Input]]:
    """What a name stands for, "file", "folder" or "glob", and its sounds; those with a problem keep their place.

    Raises:
        ValueError: a glob leads out of its own folder.
    """
    if os.path.isdir(name):
        return "folder", _from_folder(name)
    if os.path.lexists(name) or not glob.has_magic(name):
        missing = None if os.path.lexists(name) else "no such file or folder."
        return "file", [Input(_stem(os.path.basename(name)), name, problem=missing)]
    return "glob", list(_from_glob(name))


def settle(items: list[Input]) -> list[Input]:
    """The ids of sounds that files, folders and globs gave, all together: of one file named twice the first stays, and
    x.wav beside x.flac keep their extensions."""
    return _with_extensions(_refuse_same_file(items))


def _from_folder(folder: str) -> list[Input]:
    """Its sounds, and below it the folders that cannot be looked into."""
    closed: list[OSError] = []
    found = [(below, Input(_stem(below), os.path.join(folder, below))) for below in _walk(folder, closed.append)]
    found += [(_relative(os.fspath(error.filename), folder), _closed_folder(error, folder)) for error in closed]
    if not found:
        return [Input(_stem(_own_name(folder)), folder, problem=f"the folder holds no {_KINDS} file.")]
    return [item for _, item in sorted(found, key=lambda pair: pair[0])]


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
    """Paths below `folder` of its audio files, with "/"; links to folders are followed, each folder once, and hidden
    names are left out."""
    seen: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True, onerror=onerror):
        seen.add(os.path.realpath(place))
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and os.path.realpath(os.path.join(place, name)) not in seen
        )
        below = _relative(place, folder)
        start = "" if below == os.curdir else f"{below}/"
        yield from (start + name for name in files if _is_audio(name))


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
