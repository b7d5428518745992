"""Kaldi's lists: wav.scp names recordings, segments cuts utterances out of them.

    wav.scp     ID PATH             or   ID COMMAND |
    segments    ID RECORDING START END [CHANNEL]         in seconds; END -1: to the end

A relative path counts from the working directory, as in Kaldi, else from the folder of wav.scp.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from speechconv.extraction.inputs.item import Input, listed
from speechconv.extraction.inputs.lines import Line, Reading, at_home, inputs_of

WAV_SCP, SEGMENTS = "wav.scp", "segments"
SPACES = " \t\r\f\v"
SPACE = re.compile(f"[{SPACES}]+")
"""What separates fields in Kaldi; other spaces belong to a name."""


def read_wav_scp(path: str, segments: str | None, allow_commands: bool) -> Reading:
    """The utterances of a wav.scp.

    Args:
        path: of wav.scp.
        segments: path of a segments file; "none" for whole recordings; None for the file beside wav.scp, if any.
        allow_commands: lines that end in "|" may run.
    """
    beside = os.path.join(os.path.dirname(path), SEGMENTS)
    chosen = segments if segments is not None else beside if os.path.isfile(beside) else "none"
    recordings = inputs_of(path, lambda line: _recording(line, path, allow_commands))
    if chosen == "none":
        return Reading("Kaldi wav.scp", recordings)
    return Reading(f"Kaldi wav.scp with {chosen}", _segments(chosen, recordings))


def _recording(line: Line, path: str, allow_commands: bool) -> Input:
    id, *rest = SPACE.split(line.text.strip(SPACES), maxsplit=1)
    if not rest:
        raise ValueError("expected 'ID PATH' or 'ID COMMAND |'.")
    (audio,) = rest
    if audio.endswith("|"):
        return listed(id, audio[:-1].strip(SPACES), is_command=True, allow_commands=allow_commands)
    return listed(id, at_home(audio, path))


def _segments(path: str, recordings: Iterator[Input]) -> Iterator[Input]:
    """Bad lines of wav.scp first, then the segments."""
    known: dict[str, Input] = {}
    for recording in recordings:
        if recording.problem:
            yield recording
        elif recording.id in known:
            yield Input(
                recording.id,
                recording.audio,
                problem=f"wav.scp has the recording {recording.id!r} twice; the first wins.",
            )
        else:
            known[recording.id] = recording
    yield from inputs_of(path, lambda line: _segment(line, known))


def _segment(line: Line, recordings: dict[str, Input]) -> Input:
    fields = SPACE.split(line.text.strip(SPACES))
    if len(fields) not in (4, 5):
        raise ValueError(f"expected 'ID RECORDING START END', got {len(fields)} fields.")
    id, name, *numbers = fields
    if name not in recordings:
        raise ValueError(f"wav.scp has no usable recording {name!r}.")
    try:
        start, end = map(float, numbers[:2])
        channel = int(numbers[2]) if len(numbers) == 3 else None
    except ValueError:
        raise ValueError(f"expected numbers behind the recording, got {' '.join(numbers)!r}.") from None
    recording = recordings[name]
    return listed(
        id,
        recording.audio,
        start=start,
        duration=None if end == -1 else end - start,
        channel=channel,
        is_command=recording.is_command,
        allow_commands=True,  # asked when the recording was read
    )
