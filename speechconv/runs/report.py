"""The report of a run: one HTML file that a person reads from the top down, with nothing to load and nothing to run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from speechconv.pages.document import check_output, document
from speechconv.pages.page import cards, figure_grid, number, percent, plain, printable, section, table
from speechconv.runs import figures
from speechconv.runs.excerpt import excerpt_of, wav_data_uri
from speechconv.runs.tally import (
    EXCERPTS,
    LISTED,
    SILENT_DBFS,
    Reasons,
    Tally,
    dbfs,
    seconds_of,
    tally_of,
)
from speechconv.stores.manifest import ManifestLine, manifest_of
from speechconv.stores.record import Record, read_record, total_of
from speechconv.stores.walk import features_of
from speechconv.stores.whole_file import whole_file

SOUND_BYTES = 750_000
"""Of all sounds in a page together, before base64 makes them a third larger."""
LONGEST = 10.0
"""Seconds of a sound in a page."""
NAME = "report.html"


def extraction_report(run: str | os.PathLike[str], path: str | os.PathLike[str] | None = None) -> Path:
    """Write one self-contained HTML page about a run: totals, durations, loudness, failures, and a few sounds to hear.

    It is made in bounded memory, stays below about 2 MB however large the run is, and is the same bytes for the same
    run. A run that goes on, or was killed, has a report too. No command of an input is run again.

    Args:
        run: folder that `extract` wrote, or `merge_shards` merged.
        path: the file to write; None: report.html in that folder.

    Returns:
        The file.

    Raises:
        FileNotFoundError: no manifest in that folder, or no folder for the file.
        ValueError: reports that speechconv did not write.
    """
    run = Path(run)
    path = run / NAME if path is None else Path(path)
    manifest_of(run)
    check_output(path)
    record, tally = read_record(run), tally_of(run)
    sections = (
        _summary(run, record, tally),
        _numbers(record, tally),
        _failures(tally.failures),
        _histograms(tally),
        _clipping(tally),
        _silence(tally),
        _slowest(tally),
        _excerpts(run, tally),
        _skipped(tally.skipped),
        _method(record),
    )
    page = document(
        f"Extraction of {printable(run.resolve().name)}",
        "\n".join(part for part in sections if part),
        style=files("speechconv.runs").joinpath("report.css").read_text("utf-8"),
        sound=True,
    )
    with whole_file(path) as file:
        file.write(page.encode("utf-8"))
    return path


def _summary(run: Path, record: Record, tally: Tally) -> str:
    status = str(record.get("status", "running"))
    left, failed = int(total_of(record, "files_left")), tally.failures.count
    words = {
        "finished": "Finished",
        "running": "Still running, or killed",
        "disk full": "Stopped: the disk was full",
    }.get(status, status.capitalize())
    words += f", {failed:,} failed" if failed else ", nothing failed" if status == "finished" else ""
    words += f", {left:,} left undone" if left else ""
    kind = "fail" if failed or status in ("failed", "disk full") else "pass" if status == "finished" else "note"
    missing = record.get("missing")
    shards = f"<p>Merged from {plain(record.get('shards'))} shards; not there: {plain(missing)}.</p>" if missing else ""
    sound = f"{tally.files:,} files, {_duration(tally.audio_seconds)} of sound, {tally.frames:,} frames"
    return (
        f"<h1>Extraction of <code>{plain(run.resolve().name)}</code></h1>"
        f'<p class="verdict">{sound}</p>'
        f'<p class="outcome {kind}">{plain(words)}</p>{shards}'
        f'<p class="soft">Pipeline {_named_pipeline(record)}, recipe <code>{plain(record.get("recipe") or "unknown")}'
        f"</code>, speechconv {plain((record.get('versions') or {}).get('speechconv', 'unknown'))}.</p>"
    )


def _named_pipeline(record: Record) -> str:
    name = (record.get("options") or {}).get("pipeline")
    return f"<code>{plain(name, 80)}</code>" if name else "as below"


def _numbers(record: Record, tally: Tally) -> str:
    wall, audio = total_of(record, "wall_seconds"), tally.audio_seconds
    mean = audio / tally.files if tally.files else 0.0
    shown = [
        ("Files", f"{tally.files:,}", f"With features; {_duration(mean)} on average."),
        ("Failed", f"{tally.failures.count:,}", "They have no features; the reasons stand below."),
    ]
    if tally.skipped.count:
        shown.append(("Skipped", f"{tally.skipped.count:,}", "Left out on purpose, by their duration."))
    if audio and wall:
        words = f"Wall time for a second of sound: {_duration(wall)} in all, {number(audio / wall, 3)} times real time."
        shown.append(("Real-time factor", number(wall / audio, 3), words))
    if audio and tally.work_seconds:
        words = "Of all workers together, reading and writing included."
        shown.append(("Work for a second of sound", f"{number(tally.work_seconds / audio, 3)} s", words))
    shown += [
        ("Silent", f"{tally.silent.count:,}", f"Below −{-SILENT_DBFS:g} dB of full scale on average."),
        ("At full scale", f"{tally.clipped.count:,}", "With samples at 0.999 or more: perhaps clipped."),
    ]
    return section("In numbers", cards(shown))


def _failures(reasons: Reasons) -> str:
    if not reasons.count:
        return ""
    rows = [
        (
            f"{reason.count:,}",
            _words(reason.first if reason.count == 1 else reason.message),
            f"{plain(reason.stage)}<br>{plain(reason.error)}",
            _examples(line.audio for line in reason.examples),
        )
        for reason in reasons.items
    ]
    intro = (
        f"{reasons.count:,} inputs have no features. N stands for numbers and names that differ; errors.jsonl has all."
    )
    return section(
        "Failures by reason", _left(("inputs", "reason", "stage, class", "such as"), rows, "Failures"), intro
    )


def _skipped(reasons: Reasons) -> str:
    if not reasons.count:
        return ""
    rows = [
        (f"{reason.count:,}", _words(reason.message), _examples(line.audio for line in reason.examples))
        for reason in reasons.items
    ]
    intro = f"{reasons.count:,} inputs were left out on purpose; skipped.jsonl has all."
    return section("Skipped", _left(("inputs", "reason", "such as"), rows, "Skipped inputs"), intro)


def _histograms(tally: Tally) -> str:
    shown = []
    if tally.durations:
        shown.append((figures.durations(tally.durations), "How long the sounds are; the axis is logarithmic."))
    if tally.loudness:
        shown.append((figures.loudness(tally.loudness), "How loud they are on average, silent ones left out."))
    return section("Durations and loudness", figure_grid(*shown)) if shown else ""


def _clipping(tally: Tally) -> str:
    if not tally.clipped.count:
        return ""
    rows = [
        (
            _name(line),
            f"{line.clipped:,}",
            percent(line.clipped / max(1, line.num_samples)),
            _level(line.peak),
            _level(line.rms),
        )
        for line in tally.clipped.items
    ]
    intro = (
        f"{tally.clipped.count:,} files have samples at full scale{_first(tally.clipped.count)}, most of them first."
    )
    headings = ("file", "samples", "share", "peak (dB)", "mean (dB)")
    return section("At full scale", table(headings, rows, "Files at full scale"), intro)


def _silence(tally: Tally) -> str:
    if not tally.silent.count:
        return ""
    rows = [(_name(line), _duration(seconds_of(line)), _level(line.rms)) for line in tally.silent.items]
    intro = f"{tally.silent.count:,} files are silent{_first(tally.silent.count)}, the longest first."
    return section("Silent", table(("file", "duration", "mean (dB)"), rows, "Silent files"), intro)


def _slowest(tally: Tally) -> str:
    lines = [line for line in tally.slowest.items if line.seconds > 0]
    if not lines:
        return ""
    rows = [
        (_name(line), _duration(line.seconds), _duration(seconds_of(line)), _factor(line.seconds, seconds_of(line)))
        for line in lines
    ]
    headings = ("file", "took", "duration", "real-time factor")
    return section("Slowest files", table(headings, rows, "Slowest files"))


def _excerpts(run: Path, tally: Tally) -> str:
    lines = tally.excerpts.items
    if not lines:
        return ""
    intro = "A few files, drawn by their checksums: the features of their beginning, and what it sounds like."
    return section("To see and to hear", figure_grid(*(_excerpt(run, line) for line in lines)), intro)


def _excerpt(run: Path, line: ManifestLine) -> tuple[str, str]:
    """A picture and its caption; what is gone by now, or cannot be read, says so."""
    seconds = min(LONGEST, SOUND_BYTES / EXCERPTS / 2 / line.sample_rate)
    name = printable(line.id, 120)
    frames = max(1, round(seconds * line.sample_rate / line.hop_length))
    try:
        picture = figures.spectrogram(line, features_of(run, line)[:frames], name)
    except (OSError, ValueError) as error:
        picture = f'<p class="soft">{plain(error)}</p>'
    try:
        uri = wav_data_uri(excerpt_of(line, seconds), line.sample_rate)
        sound = f'<audio controls preload="metadata" aria-label="{escape(name)}" src="{uri}"></audio>'
    except (OSError, ValueError) as error:
        sound = f"<br>No sound: {plain(line.audio, 120)} {plain(error)}"
    whole = _duration(seconds_of(line))
    part = f"the first {number(seconds, 2)} s of {whole}" if seconds < seconds_of(line) else whole
    return picture, f"<code>{escape(name)}</code>, {part}.{sound}"


def _method(record: Record) -> str:
    ingredients: Mapping[str, Any] = record.get("ingredients") or {}
    facts = [
        ("Command", " ".join(map(str, record.get("argv") or []))),
        ("Options", _json(record.get("options"))),
        ("Versions", ", ".join(f"{name} {version}" for name, version in (record.get("versions") or {}).items())),
        ("Weights", ingredients.get("weights") or "none"),
        ("Store", record.get("store")),
        ("Shard", record.get("shard")),
        ("Started", record.get("started")),
        ("Ended", record.get("ended")),
    ]
    items = "".join(f"<dt>{name}</dt><dd>{plain(words, 2000)}</dd>" for name, words in facts if words)
    pipeline = str(ingredients.get("pipeline") or "")
    text = "\n".join(plain(line) for line in pipeline.splitlines()[:500])
    folded = f"<details open><summary>The pipeline</summary><pre>{text}</pre></details>" if text else ""
    return section("How it was made", f'<dl class="facts">{items}</dl>{folded}') if items or folded else ""


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if value else ""


def _left(headings: Iterable[str], rows: Iterable[Iterable[str]], name: str) -> str:
    return f'<div class="left">{table(headings, rows, name)}</div>'


def _words(text: str) -> str:
    return f'<span class="words">{plain(text)}</span>'


def _name(line: ManifestLine) -> str:
    return f'<code class="words">{plain(line.id, 120)}</code>'


def _examples(names: Iterator[str]) -> str:
    return "<br>".join(f'<code class="words">{plain(name, 120)}</code>' for name in names)


def _first(count: int) -> str:
    return f"; here are {LISTED}" if count > LISTED else ""


def _level(amplitude: float) -> str:
    level = dbfs(amplitude)
    return f"{level:.1f}".replace("-", "−") if amplitude > 0 else "none"


def _factor(seconds: float, audio: float) -> str:
    return number(seconds / audio, 3) if audio else "unknown"


def _duration(seconds: float) -> str:
    """As a person says it.

    >>> [_duration(seconds) for seconds in (0.01234, 0.5, 59.96, 61, 7260, 360000)]
    ['12.3 ms', '0.5 s', '1 min 0 s', '1 min 1 s', '2 h 1 min', '100 h']
    """
    if seconds < 0.1:
        return f"{1000 * seconds:.3g} ms"
    if seconds < 59.95:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 100:
        return f"{seconds / 3600:,.0f} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
