"""One sound to extract."""

from __future__ import annotations

import os
from dataclasses import dataclass

from speechconv.audio.command import AudioCommand
from speechconv.audio.files import AudioFile
from speechconv.audio.segment import Segment


@dataclass(frozen=True, slots=True)
class Input:
    """One sound to extract, or a segment of one.

    Attributes:
        id: its name in the manifest; a path has "/".
        audio: its path as found, or the command that writes it to stdout; for a line of a list that cannot be used
            and names no sound, the list and the line.
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

    def open(self) -> AudioFile | AudioCommand:
        """Its sound, or the segment of it; raises AudioError."""
        return (AudioCommand if self.is_command else AudioFile)(self.audio, self.start, self.duration)


def listed(
    id: object,
    audio: str,
    *,
    start: float = 0.0,
    duration: float | None = None,
    channel: int | None = None,
    is_command: bool = False,
    allow_commands: bool = False,
) -> Input:
    """What one entry of a list says.

    Raises:
        ValueError: an id that is none, a segment outside its range, or a command that is not allowed.
    """
    if not audio:
        raise ValueError("the path of the sound is empty.")
    if not isinstance(id, str):
        raise ValueError(f"the id (={id!r}) must be a string.")
    if not id:
        raise ValueError("the id is empty.")
    _check_name("id", id)
    _check_name("path", audio)
    Segment(start, duration).check()
    if channel is not None and channel < 0:
        raise ValueError(f"channel (={channel}) must be a number, counted from 0.")
    if is_command and not allow_commands:
        raise ValueError(f"{audio!r} is a command, not a file; to run it, allow commands (--allow-commands).")
    return Input(id, audio, start, duration, channel, is_command)


def id_of_path(path: str, start: float | None = None, duration: float | None = None) -> str:
    """The id of a listed sound that was given none: its path as written, without the extension, and its segment in
    milliseconds where the list says where that starts.

    >>> id_of_path("/data/a/x.wav"), id_of_path("./a/x.flac", 1.25, 2.5), id_of_path("x.wav", 3.0)
    ('data/a/x', 'a/x-1250-3750', 'x-3000-end')
    """
    stem = os.path.splitext(path)[0].replace(os.sep, "/").lstrip("/").removeprefix("./")
    if start is None:
        return stem
    end = "end" if duration is None else f"{1000 * (start + duration):.0f}"
    return f"{stem}-{1000 * start:.0f}-{end}"


def _check_name(what: str, text: str) -> None:
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise ValueError(f"the {what} (={text!r}) holds half a surrogate pair, which is no character.") from None
