"""Manifests of one JSON object a line, as NeMo and Hugging Face write them.

    {"audio_filepath": "a/x.wav", "offset": 1.25, "duration": 2.5, "id": "x-1", "text": ...}

As in NeMo, `duration` seconds are read from `offset` (0) on; where there is no duration, up to `end`. A relative path
counts from the folder of the manifest if it is there, else from the working directory.
"""

from __future__ import annotations

import json
from typing import Any

from speechconv.extraction.inputs.item import Input, id_of_path, listed
from speechconv.extraction.inputs.lines import Line, Reading, at_home, inputs_of

PATHS = ("audio_filepath", "audio_path", "audio", "path", "file", "file_name", "filename", "wav")
IDS = ("id", "utt_id", "utterance_id", "utt")
STARTS = ("offset", "start")


def read_json_lines(path: str) -> Reading:
    """The sounds of a manifest."""
    return Reading("JSON lines", inputs_of(path, lambda line: _entry(line, path)))


def parse(line: Line) -> dict[str, Any]:
    """The object of a line; ValueError where there is none."""
    try:
        entry = json.loads(line.text)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply.") from None
    except ValueError as error:
        raise ValueError(f"is not JSON: {error}.") from error
    if not isinstance(entry, dict):
        raise ValueError(f"expected a JSON object, got {type(entry).__name__}.")
    return entry


def number(entry: dict[str, Any], key: str) -> float | None:
    """A number of an entry, or None where it has none; ValueError for anything else."""
    value = entry.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{key} (={value!r}) must be a number.")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{key} is a number beyond all seconds.") from None


def channel_of(entry: dict[str, Any]) -> int | None:
    """The channel of an entry, or None where it names none."""
    value = entry.get("channel")
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise ValueError(f"channel (={value!r}) must be a number, counted from 0.")
    return value


def _entry(line: Line, path: str) -> Input:
    entry = parse(line)
    audio = next((entry[key] for key in PATHS if entry.get(key) is not None), None)
    if isinstance(audio, dict):  # Hugging Face's Audio: {"path": ..., "bytes": null}
        audio = audio.get("path")
    if not isinstance(audio, str):
        raise ValueError(f"expected the path of a sound under 'audio_filepath' (or {', '.join(PATHS[1:])}).")
    start = next((found for key in STARTS if (found := number(entry, key)) is not None), None)
    end, duration = number(entry, "end"), number(entry, "duration")
    if duration is None and end is not None:
        duration = end - (start or 0.0)
    given = next((key for key in IDS if entry.get(key) is not None), None)
    return listed(
        entry[given] if given else id_of_path(audio, start, duration),
        at_home(audio, path, first="list"),
        start=start or 0.0,
        duration=duration,
        channel=channel_of(entry),
    )
