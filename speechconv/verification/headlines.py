"""The report's first section: the few numbers that tell most, each with what it means."""

from __future__ import annotations

import math

from speechconv.pages.page import cards, number, percent, section
from speechconv.verification.answers import BankAnswer, ProbeAnswer, Verification
from speechconv.verification.scales import SCALE_NAMES

Card = tuple[str, str, str]
"""Name, value, meaning."""


def headlines(v: Verification) -> str:
    """The section; empty where nothing was asked that has such a number."""
    shown = [*_of_stft(v), *_of_bank(v.bank), *_of_filters(v), *_of_probe(v.probe, v.sample_rate)]
    return section("In numbers", cards(shown)) if shown else ""


def _of_stft(v: Verification) -> list[Card]:
    if v.stft is None:
        return []
    words = f"0 is an STFT; {percent(math.sqrt(max(v.stft.rho, 0)))} relative error."
    return [("Distance from an STFT, ρ", number(v.stft.rho), words)]


def _of_bank(bank: BankAnswer | None) -> list[Card]:
    if bank is None:
        return []
    named = (
        (
            "Condition number, κ = B / A",
            bank.kappa,
            f"At hop {bank.hop_length}, energy may change by up to this factor from one sound to another; 1 is "
            "perfectly even, infinite loses something.",
        ),
        (
            "κ, two-sided",
            bank.kappa_two_sided,
            "The same with the mirrored bins counted; it governs how well the frames can be inverted.",
        ),
    )
    return [(name, number(value), words) for name, value, words in named if value is not None]


def _of_filters(v: Verification) -> list[Card]:
    shown: list[Card] = []
    if v.drift:
        words = f"Relative change of all taps against {v.drift.reference}."
        shown.append(("Drift in total", percent(v.drift.total), words))
    if v.pairs:
        words = "Energy on the wrong side of the spectrum: at 0 magnitudes are smooth envelopes, 1 is a real filter."
        shown.append(("Analyticity", number(v.pairs.analyticity), words))
    if v.scales:
        best = v.scales.best
        words = f"Sorted peaks stray {percent(v.scales.residual[best])} of their range from a straight line."
        shown.append(("Frequency scale", SCALE_NAMES.get(best, best), words))
    return shown


def _of_probe(probe: ProbeAnswer | None, sample_rate: int) -> list[Card]:
    if probe is None:
        return []
    reach = f"{1000 * probe.receptive_field / sample_rate:.4g} ms of sound reach one frame"
    return [
        ("Receptive field", f"{probe.receptive_field} samples", f"{reach}; a frame every {probe.stride} samples."),
        (
            "Time resolution",
            f"{probe.time_resolution_ms:.4g} ms",
            "Width at half height of the mean answer to an impulse.",
        ),
    ]
