"""Tables with a header and a column of paths: CSV, TSV, Common Voice's among them.

    path, audio, audio_filepath, audio_path, file, file_name, filename, wav      the sound
    id, utt_id, utterance_id, utt                                                its id
    start, offset; end; duration                                                 in seconds
    channel                                                                      counted from 0

Names of columns in any case. A relative path counts from the folder of the table or its subfolder clips/ (Common
Voice's) if it is there, else from the working directory. Quotes mean something in CSV and nothing in TSV.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator

from speechconv.extraction.inputs.item import Input, id_of_path, listed
from speechconv.extraction.inputs.json_lines import IDS
from speechconv.extraction.inputs.lines import Line, Reading, at_home, bad_line, lines_of

PATHS = ("path", "audio", "audio_filepath", "audio_path", "file", "file_name", "filename", "wav")
STARTS = ("start", "offset")
DELIMITERS = {"\t": "tab", ",": "comma", ";": "semicolon"}
LONGEST_FIELD = 1 << 24


def delimiter_of(header: str) -> str | None:
    """What separates the columns of a header; None where it has no column of paths."""
    for delimiter in DELIMITERS:
        columns = _columns(header.split(delimiter))
        if delimiter in header and any(name in columns for name in PATHS):
            return delimiter
    return "," if _columns([header])[0] in PATHS else None


def read_table(path: str, delimiter: str) -> Reading:
    """The sounds of a table."""
    return Reading(f"table, columns separated by {DELIMITERS[delimiter]}", _rows(path, delimiter))


def _columns(header: list[str]) -> list[str]:
    return [name.strip().strip('"').lower() for name in header]


def _rows(path: str, delimiter: str) -> Iterator[Input]:
    place = _Place()
    quoting = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    csv.field_size_limit(LONGEST_FIELD)
    rows = csv.reader(place.lines(lines_of(path)), delimiter=delimiter, quoting=quoting)
    try:
        columns = _columns(next(rows))
    except StopIteration:
        return
    while True:
        try:
            yield _entry(dict(zip(columns, next(rows), strict=False)), path)
        except StopIteration:
            return
        except csv.Error as error:
            yield bad_line(path, place.number, ValueError(f"is no row of a table: {error}."))
        except (OSError, ValueError) as error:
            yield bad_line(path, place.number, error)


class _Place:
    """The number of the line that was read last, which csv does not know where lines were left out."""

    number = 0

    def lines(self, lines: Iterator[Line]) -> Iterator[str]:
        for line in lines:
            self.number = line.number
            yield line.text + "\n"


def _entry(row: dict[str, str], path: str) -> Input:
    audio = next((row[name] for name in PATHS if row.get(name)), "")
    if not audio:
        raise ValueError("the row names no sound.")
    start = next((found for name in STARTS if (found := _number(row, name)) is not None), None)
    end, duration = _number(row, "end"), _number(row, "duration")
    if end is not None:
        duration = end - (start or 0.0)
    channel = row.get("channel", "").strip()
    if channel and not channel.isdecimal():
        raise ValueError(f"channel (={channel!r}) must be a number, counted from 0.")
    given = next((name for name in IDS if name in row), None)
    return listed(
        row[given] if given else id_of_path(audio, start, duration),
        at_home(audio, path, "clips", first="list"),
        start=start or 0.0,
        duration=duration,
        channel=int(channel) if channel else None,
    )


def _number(row: dict[str, str], name: str) -> float | None:
    text = (row.get(name) or "").strip()
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name} (={text!r}) must be a number of seconds.") from None
