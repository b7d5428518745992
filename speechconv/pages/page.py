"""What a page is made of: sections, figures, tables, keys of lines, and numbers as a reader wants them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape

SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def section(heading: str, content: str, intro: str = "") -> str:
    """Words are escaped; `content` is HTML."""
    words = f"<p>{escape(intro)}</p>" if intro else ""
    return f"<section><h2>{escape(heading)}</h2>{words}{content}</section>"


def figure_grid(*shown: tuple[str, str]) -> str:
    """Pictures with captions, both HTML, side by side where there is room."""
    items = (f"<figure>{picture}<figcaption>{caption}</figcaption></figure>" for picture, caption in shown)
    return f'<div class="figures">{"".join(items)}</div>'


def cards(shown: Iterable[tuple[str, str, str]]) -> str:
    """Numbers with their name above and a line of explanation below, all plain words."""
    items = (
        f'<dl class="card"><dt>{escape(name)}</dt><dd class="value">{escape(value)}</dd><dd>{escape(words)}</dd></dl>'
        for name, value, words in shown
    )
    return f'<div class="cards">{"".join(items)}</div>'


def key(style: str, words: str, dots: bool = False) -> str:
    """What a line or a dot of this style stands for."""
    path = f'<path class="dots {style}" d="M13,5h0"/>' if dots else f'<path class="line {style}" d="M0,5h26"/>'
    return f'<span class="key"><svg viewBox="0 0 26 10" aria-hidden="true">{path}</svg>{escape(words)}</span>'


def table(headings: Iterable[str], rows: Iterable[Iterable[str]], name: str) -> str:
    """Cells are HTML; it scrolls by itself where it is larger than the page."""
    head = "".join(f'<th scope="col">{heading}</th>' for heading in headings)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>\n" for row in rows)
    return (
        f'<div class="scroll" role="region" aria-label="{escape(name)}" tabindex="0">'
        f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>"
    )


def plain(text: object, most: int = 300) -> str:
    """Any text as HTML on one line, as `printable` shows it.

    >>> plain("<b>")
    '&lt;b&gt;'
    """
    return escape(printable(text, most))


def printable(text: object, most: int = 300) -> str:
    """Any text on one line: what has no shape of its own is written as an escape, and a long end is left out.

    >>> print(printable("two\\nlines"), printable("not UTF-8: \\udcff"), printable("x" * 9, most=3))
    two\\nlines not UTF-8: \\xff xxx…
    """
    words = str(text)
    words = words if len(words) <= most else f"{words[:most]}…"
    return "".join(char if char.isprintable() else _escaped(char) for char in words)


def _escaped(char: str) -> str:
    """A byte that is no UTF-8, as `surrogateescape` keeps it, is shown as that byte."""
    return f"\\x{ord(char) - 0xDC00:02x}" if "\udc80" <= char <= "\udcff" else char.encode("unicode_escape").decode()


def hertz(value: float) -> str:
    """A frequency as speech engineers write it, without its unit.

    >>> [hertz(value) for value in (86.13, 3000.2, float("nan"))]
    ['86.1', '3000.2', 'undefined']
    """
    return f"{value:.1f}" if math.isfinite(value) else number(value)


def percent(share: float) -> str:
    """A share as percent.

    >>> [percent(share) for share in (0.1, 0.01234, 3e-08, float("inf"))]
    ['10 %', '1.23 %', '3 × 10⁻⁶ %', 'infinite %']
    """
    return f"{number(100 * share, 3)} %"


def number(value: float | None, digits: int = 4) -> str:
    """Four digits, powers of ten where it is very small or large, words where it is no number.

    >>> [number(value) for value in (None, 0.0, 1.18848, 123456.0, 8.5e-16, float("inf"), float("nan"))]
    ['unknown', '0', '1.188', '1.235 × 10⁵', '8.5 × 10⁻¹⁶', 'infinite', 'undefined']
    """
    if value is None:
        return "unknown"
    if not math.isfinite(value):
        return "undefined" if math.isnan(value) else "infinite"
    if value == 0 or 1e-3 <= abs(value) < 10**digits:
        return f"{value:.{digits}g}"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa} × 10{str(int(exponent)).translate(SUPERSCRIPT)}"
