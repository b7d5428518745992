"""The report's last section: of what the numbers are, and how each was computed."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from speechconv.pages.page import section
from speechconv.verification.answers import Verification
from speechconv.verification.filter_bank import FilterBank

RHO = (
    "Each filter is demodulated by its own frequency; the filters of an STFT are then copies of one window, a matrix "
    "of rank one, and ρ is the share of energy outside the first singular value. DC and Nyquist are left out."
)
DRIFT = "|z − z₀| / |z₀| of each filter and of all together; no alignment of gain or phase."
KAPPA = (
    "A and B are the smallest and largest eigenvalue of the frame operator EᴴE, E the bank's polyphase matrix, over "
    "all frequencies, rows as they are; two-sided counts the pairs between DC and Nyquist twice, as their mirror "
    "images would."
)
RESPONSES = "Filters are zero-padded to at least eight times their taps. ERB: total power over peak power."
PAIRS = "Energy on the wrong side of the spectrum over energy on the side where the bank turns."


def method(v: Verification, bank: FilterBank | None, reference: FilterBank | None) -> str:
    """The section."""
    answered = (
        ("ρ", v.stft, RHO),
        ("Drift", v.drift, DRIFT),
        ("κ", v.bank and v.bank.kappa is not None, KAPPA),
        ("Responses", v.filters, RESPONSES),
        ("Pairs", v.pairs, PAIRS),
    )
    facts = [*_sources(v, bank, reference), *((name, words) for name, answer, words in answered if answer)]
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(words)}</dd>" for name, words in facts)
    words = (
        "<p>Every number above stands as JSON in this file, in the element with the id <code>verification</code>.</p>"
    )
    return section("How it was computed", f'<dl class="facts">{items}</dl>{words}')


def _sources(v: Verification, bank: FilterBank | None, reference: FilterBank | None) -> Iterator[tuple[str, str]]:
    yield "Source", f"{v.source}, tensor {v.tensor}, layout {v.layout}." if v.tensor else f"{v.source}."
    if bank is not None:
        hop = "unknown" if bank.hop_length is None else f"{bank.hop_length} samples"
        pairs = "complex pairs" if bank.imag is not None else "real filters"
        yield "Bank", f"{len(bank.real)} {pairs} of {bank.real.shape[1]} taps, hop {hop}; all in float64."
    if reference is not None:
        yield "Reference", f"{len(reference.real)} filters of {reference.real.shape[1]} taps: {reference.name}."
