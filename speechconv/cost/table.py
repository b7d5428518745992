"""A cost sheet for people: a table of the layers, and the totals in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from speechconv.cost.description import Description
from speechconv.cost.rules import Shape
from speechconv.cost.stage import Stage
from speechconv.geometry import Geometry

SPANS = ("stride", "field", "lookahead")
LEFT = 3
"""Columns of words; numbers stand to the right."""
TRAINING = 6
"""The column that the text leaves out, to fit in 120."""
INDENT = "  "
"""Of the parts of a stage."""


def as_text(sheet: Description) -> str:
    """Title, table, totals; what is not counted, not told or not live comes last."""
    rows = [_headings(sheet), *_rows(sheet, sheet.stages), *_total(sheet)]
    shown = [[cell for i, cell in enumerate(row) if i != TRAINING] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if i < LEFT else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in shown
    ]
    totals = list(_totals(sheet))
    width = max(len(name) for name, _ in totals)
    words = [f"{name:<{width}}  {text}" for name, text in totals]
    notes = [f"{name}: {text}" for name, text in _notes(sheet)]
    return "\n".join((_title(sheet), "", *lines, "", *words, *([""] if notes else []), *notes))


def as_markdown(sheet: Description) -> str:
    """The same as a Markdown table and a list."""
    headings = _headings(sheet)
    rules = [":--" if i < LEFT else "--:" for i in range(len(headings))]
    rows = [headings, rules, *(_unindented(row) for row in _rows(sheet, sheet.stages)), *_total(sheet)]
    table = [f"| {' | '.join(row)} |" for row in rows]
    items = [f"- {name}: {text}" for name, text in (*_totals(sheet), *_notes(sheet))]
    return "\n".join((_title(sheet), "", *table, "", *items))


def _unindented(row: Sequence[str]) -> list[str]:
    """A part is marked by arrows where Markdown would drop its indent."""
    depth = (len(row[0]) - len(row[0].lstrip())) // len(INDENT)
    return ["→ " * depth + row[0].lstrip(), *row[1:]]


def _title(sheet: Description) -> str:
    dtype = str(sheet.dtype).removeprefix("torch.")
    if sheet.sample_rate is None:
        return f"input: {_shape(sheet.input_shape)}, {dtype}, a batch of 1"
    return f"input: {sheet.num_samples} samples at {sheet.sample_rate} Hz, {dtype}, a batch of 1; spans in ms"


def _headings(sheet: Description) -> list[str]:
    work = "MAC" if sheet.sample_rate is None else "MAC/s"
    return ["stage", "layer", "output", "parameters", work, "outputs", "training", "state", *SPANS]


def _rows(sheet: Description, stages: Sequence[Stage], indent: str = "") -> Iterator[list[str]]:
    for stage in stages:
        yield _row(sheet, stage, indent + stage.name)
        yield from _rows(sheet, stage.parts, indent + INDENT)


def _row(sheet: Description, stage: Stage, name: str) -> list[str]:
    return [
        name,
        stage.kind,
        _shape(stage.shape),
        f"{stage.parameters:,}",
        _work(stage),
        _size(stage.activation_bytes),
        _size(stage.training_bytes),
        _size(stage.state_bytes),
        *_spans(stage.geometry, sheet.sample_rate),
    ]


def _total(sheet: Description) -> Iterator[list[str]]:
    """The row of the whole, where the table has others."""
    if sheet.stages != (sheet.total,):
        row = _row(sheet, sheet.total, "total")
        yield [row[0], "", "", *row[3:7], _size(sheet.state_bytes), *row[8:]]


def _work(stage: Stage) -> str:
    number = _number(_multiply_adds(stage))
    if stage.known:
        return number
    return f">= {number}" if stage.parts or stage.multiply_adds else "unknown"


def _multiply_adds(stage: Stage) -> float:
    """A second where there is a rate, else for the input."""
    rate = stage.multiply_adds_per_second
    return stage.multiply_adds if rate is None else rate


def _spans(g: Geometry | None, sample_rate: int | None) -> list[str]:
    """Stride, receptive field and lookahead in ms, or in frames."""
    if g is None:
        return ["-", "-", "-"]
    spans = (g.stride, g.receptive_field, g.lookahead)
    return [str(span) if sample_rate is None else f"{1000 * span / sample_rate:.4g}" for span in spans]


def _totals(sheet: Description) -> Iterator[tuple[str, str]]:
    """What the whole costs, in words."""
    total, least = sheet.total, "at least " if sheet.unknown else ""
    as_on_meta = " on meta tensors" if sheet.unknown else ""
    here = f"{_number(total.multiply_adds)} for this input"
    ffts = f", {_number(total.transforms)} of them for FFTs" if total.transforms else ""
    rate = "" if total.multiply_adds_per_second is None else f"{_number(total.multiply_adds_per_second)} a second; "
    yield "multiply-adds", f"{least}{rate}{here}{ffts}"
    device = f"at {sheet.gflops:g} GFLOP/s"
    if sheet.real_time_factor is None:
        yield "time", f"{least}{1000 * sheet.seconds_of_work:.3g} ms for this input {device}"
    else:
        yield "real-time factor", f"{least}{sheet.real_time_factor:.3g} {device}"
    outputs = f"{_size(sheet.forward_bytes)} for the input and all outputs"
    yield "forward memory", f"{least}{outputs}, {_size(total.peak_bytes)} at once{as_on_meta}"
    if total.training_bytes is not None:
        yield "training memory", f"{_size(total.training_bytes)} kept for the backward pass{as_on_meta}"
    if total.geometry is not None and sheet.sample_rate is not None:
        g = total.geometry
        yield "samples", f"stride {g.stride}, receptive field {g.receptive_field}, lookahead {g.lookahead}"


def _notes(sheet: Description) -> Iterator[tuple[str, str]]:
    if sheet.unknown:
        yield "not counted", "; ".join(sheet.unknown)
        yield "on meta tensors", "for what is not counted, a device's kernels may need more memory, or less"
    if sheet.training_obstacle is not None:
        yield "training memory not told", sheet.training_obstacle
    if sheet.obstacle is not None:
        yield "not live", sheet.obstacle


def _shape(shape: Shape) -> str:
    return " x ".join(map(str, shape))


def _number(value: float) -> str:
    """Three digits and a unit of a thousand.

    >>> _number(2_454_323_200), _number(999_600), _number(12)
    ('2.45 G', '1 M', '12')
    """
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= 0.9995 * size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g}"


def _size(count: int | None) -> str:
    """Three digits and a unit of 1024 bytes; a dash for none.

    >>> _size(97_566_720), _size(640), _size(None)
    ('93 MiB', '640 B', '-')
    """
    if count is None:
        return "-"
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= 0.9995 * size:
            return f"{count / size:.4g} {unit}" if count >= 999.5 * size else f"{count / size:.3g} {unit}"
    return f"{count} B"
