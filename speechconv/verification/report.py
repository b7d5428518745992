"""The report of a verification: one HTML file that a person reads from the top down, with nothing to load."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from html import escape
from pathlib import Path

from speechconv.pages.document import document
from speechconv.pages.page import cards, figure_grid, hertz, key, number, percent, section, table
from speechconv.verification import figures
from speechconv.verification.answers import BankAnswer, Check, FilterAnswer, PairsAnswer, Verification
from speechconv.verification.filter_bank import FilterBank
from speechconv.verification.headlines import headlines
from speechconv.verification.method import method
from speechconv.verification.scales import SCALE_NAMES


def write_report(
    verification: Verification, bank: FilterBank | None, reference: FilterBank | None, path: str | os.PathLike[str]
) -> None:
    """Write a self-contained HTML file; the same arguments give the same bytes.

    Args:
        verification: the answers; what is None has no section.
        bank: the filters that they are about; None for an encoder of several layers, which has none.
        reference: the filters that the drift was measured from; None without.
        path: the file, such as "report.html"; its folder must exist.

    Raises:
        OSError: the file cannot be written.
    """
    sections = (
        _summary(verification),
        _checks(verification.checks),
        headlines(verification),
        _probe(verification),
        _responses(bank, reference),
        _impulses(verification, bank, reference),
        _bandwidths(verification),
        _drift(verification),
        _pairs(verification.pairs),
        _whole_bank(verification, bank),
        _sound(verification),
        _filter_table(verification),
        method(verification, bank, reference),
    )
    page = document(
        f"{_subject(verification)}: verification of filters",
        "\n".join(part for part in sections if part),
        behind=f'<script type="application/json" id="verification">\n{_json_in_html(verification)}\n</script>\n',
    )
    Path(path).write_text(page, "utf-8")


def _summary(v: Verification) -> str:
    outcome = ("pass", "Within every threshold") if v.passed else ("fail", "Beyond a threshold")
    kind, words = outcome if v.checks else ("note", "No thresholds were given")
    rate = f"{v.sample_rate} Hz" + (" (assumed: the file does not say)" if v.sample_rate_assumed else "")
    more = v.stft is not None and v.stft.verdict not in v.verdict
    stft = f"<p>Is it an STFT? {escape(v.stft.verdict)}.</p>" if v.stft and more else ""
    named = f", <code>{escape(v.tensor)}</code>" if v.tensor else ""
    return (
        f"<h1>Verification of <code>{escape(v.source)}</code>{named}</h1>"
        f'<p class="verdict">{escape(v.verdict)}</p>'
        f'<p class="outcome {kind}">{words}</p>'
        f"{stft}"
        f'<p class="soft">Layout {escape(v.layout)}, sample rate {rate}.</p>'
    )


def _checks(checks: Iterable[Check]) -> str:
    rows = [
        (
            f"<code>{escape(check.name)}</code>",
            number(check.value),
            f"at {'least' if check.at_least else 'most'} {number(check.limit)}",
            f'<span class="outcome {"pass" if check.passed else "fail"}">{"pass" if check.passed else "FAIL"}</span>',
        )
        for check in checks
    ]
    return section("Thresholds", table(("number", "value", "limit", "outcome"), rows, "Thresholds")) if rows else ""


def _probe(v: Verification) -> str:
    if v.probe is None or not v.probe.response:
        return ""
    intro = (
        "Several layers have no single filter, so this is measured: sines of amplitude "
        f"{number(v.probe.level)} went in, and the root mean square change of each channel against silence came out."
    )
    rows = [(number(other.level), f"{number(other.gain_db, 3)} dB", percent(other.moved)) for other in v.probe.levels]
    levels = table(("amplitude", "answer for each unit of it", "channels that peak elsewhere"), rows, "Other levels")
    linear = "<p>At other levels a linear encoder would answer alike: 0 dB, and no peak elsewhere.</p>"
    heat = "Each channel's answer in dB of its own largest."
    peaks = "Where each channel answers most: a straight line is a logarithmic scale."
    return section(
        "What it answers to",
        figure_grid((figures.probe_responses(v.probe), heat), (figures.probe_peaks(v.probe), peaks))
        + (linear + levels if rows else ""),
        intro,
    )


def _responses(bank: FilterBank | None, reference: FilterBank | None) -> str:
    if bank is None:
        return ""
    shown = [(figures.frequency_responses(bank), "This bank, in dB of its largest response.")]
    if reference is not None:
        shown.append((figures.frequency_responses(reference), "The reference, in dB of its own largest response."))
    intro = "Each row is one filter, sorted by its peak frequency. A clean bank is one bright ridge on a dark ground."
    return section("Frequency responses", figure_grid(*shown), intro)


def _impulses(v: Verification, bank: FilterBank | None, reference: FilterBank | None) -> str:
    if bank is None or not v.filters:
        return ""
    keys = key("first", "taps")
    if bank.imag is not None:
        keys = key("first", "real part") + key("second", "imaginary part") + key("magnitude", "magnitude")
    if reference is not None and reference.filters.shape == bank.filters.shape:
        keys += key("before", "the reference's taps" if bank.imag is None else "the reference's magnitude")
    shown = [
        (
            figures.impulse_response(bank, index, reference, why),
            f"Filter {index}, peak {hertz(v.filters[index].peak_hz)} Hz: {why}.",
        )
        for index, why in _selection(v)
    ]
    return section("Impulse responses", f'<p class="soft">{keys}</p>{figure_grid(*shown)}')


def _bandwidths(v: Verification) -> str:
    if not v.filters:
        return ""
    keys = key("first", "filters", dots=True) + "".join(key(scale.style, scale.name) for scale in figures.SCALES)
    shown = [
        (
            figures.bandwidth(v.filters, v.sample_rate),
            f"{keys}<br>Equivalent rectangular bandwidth. A flat row of dots is an STFT; a bank made for hearing "
            "follows a curve.",
        ),
        (
            figures.sorted_peaks(v.filters, v.sample_rate),
            "Peaks in ascending order. A straight line is a linear scale; a curve that steepens, one of hearing.",
        ),
    ]
    intro = ""
    if v.scales:
        residuals = sorted(v.scales.residual.items(), key=lambda item: item[1])
        words = ", ".join(f"{SCALE_NAMES.get(name, name)} {percent(value)}" for name, value in residuals)
        intro = f"How far the peaks stray from a straight line on each scale: {words}."
    return section("Bandwidth and frequency scale", figure_grid(*shown), intro)


def _drift(v: Verification) -> str:
    if v.drift is None or not v.filters:
        return ""
    peaks = [f.peak_hz for f in v.filters]
    worst = _largest(v.drift.change)
    most = f"most in filter {worst}, {percent(v.drift.change[worst])}" if v.drift.total else "no filter has changed"
    intro = f"Against {v.drift.reference}: {percent(v.drift.total)} in total; {most}."
    shown = [
        (
            figures.drift(v.drift, peaks, v.sample_rate),
            "Relative change of the taps: 0 as it was, 1 as large as the filter.",
        ),
        (
            figures.shape_drift(v.drift, peaks, v.sample_rate),
            "Jensen-Shannon distance of the responses: 0 the same, 1 nothing in common. Blind to gain and phase.",
        ),
    ]
    return section("Drift from the reference", figure_grid(*shown), intro)


def _pairs(pairs: PairsAnswer | None) -> str:
    if pairs is None:
        return ""
    shown = (
        ("Orthogonality", pairs.orthogonality, "Likeness of the two halves of a pair; 0 is a right angle."),
        ("Balance", pairs.balance, "Size of the real half over the imaginary one; 1 is equal."),
        (
            "Hilbert error",
            pairs.hilbert_error,
            "Distance of one half from the other's Hilbert transform; 0 is analytic.",
        ),
        (
            "Time reversal",
            pairs.time_reversed,
            "Likeness of one half to the other backwards; 1 with a poor analyticity: a mirror.",
        ),
    )
    numbers = cards((name, number(value), words) for name, value, words in shown)
    return section("The pairs", numbers, f"Are they analytic? {pairs.verdict}.")


def _whole_bank(v: Verification, bank: FilterBank | None) -> str:
    shown = []
    if v.bank:
        shown.append(
            (
                figures.cumulative_response(v.bank, v.sample_rate),
                "Cumulative frequency response: the mean of all magnitudes. A dip is a band that is hardly heard.",
            )
        )
    if bank is not None:
        shown.append(
            (
                figures.gram(bank),
                "Gram matrix: how alike every two filters are, in dB; 0 is the same but for gain and phase. Light away "
                "from the diagonal is redundancy.",
            )
        )
    return section("The bank as a whole", _bank_numbers(v.bank) + figure_grid(*shown)) if shown else ""


def _bank_numbers(bank: BankAnswer | None) -> str:
    if bank is None:
        return ""
    named = (
        ("Lower frame bound A", bank.A, "The least energy of the frames over that of the sound; 0 loses something."),
        ("Upper frame bound B", bank.B, "The most energy of the frames over that of the sound."),
        ("Aliasing", bank.aliasing, "Energy that the hop folds onto other frequencies; 0 is none."),
        ("Parseval deviation", bank.parseval, "How far the frames are from keeping energy exactly; 0 keeps it."),
        ("Reconstruction error", bank.reconstruction_error, "Of noise through the bank and back through its dual."),
        ("Coherence", bank.coherence, "Likeness of the two rows that are most alike; 1 is the same row twice."),
        ("Effective rank", bank.effective_rank, f"Of {bank.rows} rows, as many as are really different."),
    )
    hop = "" if bank.hop_length else "<p>No hop is known, so there are no frame bounds.</p>"
    return hop + cards((name, number(value), words) for name, value, words in named if value is not None)


def _sound(v: Verification) -> str:
    if v.sound is None:
        return ""
    intro = (
        f"{v.sound.audio} through both, against {v.sound.reference}, where it is within 70 dB of the peak: "
        f"{number(v.sound.mean_db, 3)} dB on average, {number(v.sound.rms_db, 3)} dB root mean square, "
        f"{number(v.sound.max_db, 3)} dB at most."
    )
    shown = (
        figures.sound_difference(v.sound),
        "Mean difference of each bin, as far as it is heard; above 0 it is louder than the reference.",
    )
    return section("What it does to sound", figure_grid(shown), intro)


def _filter_table(v: Verification) -> str:
    if not v.filters:
        return ""
    headings = ["filter", "peak", "centroid", "−3 dB width", "ERB", "Q", "leakage", "effective bins", "sinusoid"]
    headings += ["change", "cosine", "distance"] if v.drift else []
    rows = [_filter_row(f, v) for f in v.filters]
    return section(
        f"All {len(rows)} filters",
        f"<details><summary>Table of all filters, frequencies in Hz</summary>{table(headings, rows, 'All filters')}"
        "</details>",
    )


def _filter_row(f: FilterAnswer, v: Verification) -> list[str]:
    frequencies = map(hertz, (f.peak_hz, f.centroid_hz, f.bandwidth_3db_hz, f.erb_hz))
    row = [str(f.index), *frequencies, *map(number, (f.q, f.leakage, f.effective_bins, f.sinusoid))]
    if v.drift:
        row += [number(values[f.index]) for values in (v.drift.change, v.drift.cosine, v.drift.jsd)]
    return row


def _selection(v: Verification) -> list[tuple[int, str]]:
    """A low, a middle and a high filter, and the one that drifted most or, without drift, is broadest."""
    alive = [f for f in v.filters if math.isfinite(f.peak_hz)] or v.filters
    order = [f.index for f in sorted(alive, key=lambda f: f.peak_hz)]
    last = len(order) - 1
    chosen = [(order[last // 10], "low"), (order[last // 2], "middle"), (order[last - last // 10], "high")]
    if v.drift and v.drift.total:
        chosen.append((_largest(v.drift.change), "drifted most"))
    else:
        chosen.append((_largest([f.erb_hz for f in v.filters]), "broadest"))
    reasons: dict[int, str] = {}
    for index, why in chosen:
        reasons[index] = f"{reasons[index]}, {why}" if index in reasons else why
    return list(reasons.items())


def _largest(values: list[float]) -> int:
    return max(range(len(values)), key=lambda index: values[index] if math.isfinite(values[index]) else -math.inf)


def _subject(v: Verification) -> str:
    return v.tensor or v.source


def _json_in_html(v: Verification) -> str:
    """No text of a file can end the script element or begin a comment in it."""
    text = json.dumps(v.to_json(), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
