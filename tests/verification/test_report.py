"""The report's file, read by Python's own HTML parser; tests/browser looks at it in Chromium."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import re
from pathlib import Path

import pytest
import torch

from speechconv.verification.answers import Check, Verification
from speechconv.verification.filter_bank import FilterBank
from speechconv.verification.report import write_report
from tests.pages.parsed import Page
from tests.verification.verifications import both_checks, encoder, gabor_bank, random_bank, stft_bank, verified

BANK = dataclasses.replace(gabor_bank(filters=12, taps=101), hop_length=10)
HOSTILE = "</script><script>alert(1)</script><!--<img src=x onerror='alert(2)'>&amp;\""


@functools.cache
def small() -> Verification:
    return verified(BANK, BANK)


def written(v: Verification, bank: FilterBank | None, reference: FilterBank | None, folder: Path) -> Page:
    path = folder / "report.html"
    write_report(v, bank, reference, path)
    return Page(path)


def test_a_report_says_what_the_verification_says(tmp_path: Path) -> None:
    bank, reference = stft_bank(0.1), stft_bank()
    v = verified(bank, reference, checks=both_checks(), heard=True)
    page = written(v, bank, reference, tmp_path)
    assert json.loads(page.data) == v.to_json()
    assert v.stft
    assert v.bank
    assert v.bank.kappa_two_sided
    for words in (v.verdict, "Beyond a threshold", "FAIL", "10 %", "linear"):
        assert words in page.text
    for value in (v.stft.rho, v.bank.kappa_two_sided):
        assert f">{value:.4g}<" in (tmp_path / "report.html").read_text("utf-8")
    assert page.count("figure") == 2 + 4 + 2 + 2 + 2 + 1
    assert page.count("tr") == 1 + len(v.checks) + 1 + len(v.filters)
    assert page.count("title") == 1
    assert page.headings == ["h1", *["h2"] * (len(page.headings) - 1)]


def test_every_figure_has_words_for_those_who_do_not_see_it(tmp_path: Path) -> None:
    page = written(small(), BANK, BANK, tmp_path)
    pictures = [attributes for tag, attributes in page.elements if tag == "svg" and "aria-hidden" not in attributes]
    assert len(pictures) == page.count("figure") > 0
    assert all(attributes["role"] == "img" and attributes["aria-label"] for attributes in pictures)


def test_a_report_asks_for_nothing_and_runs_nothing(tmp_path: Path) -> None:
    page = written(small(), BANK, BANK, tmp_path)
    for tag, attributes in page.elements:
        for name, value in attributes.items():
            if name in ("href", "src", "srcset", "action", "data", "poster"):
                assert (value or "").startswith("data:"), (tag, name)
            assert not name.startswith("on")
    scripts = [attributes for tag, attributes in page.elements if tag == "script"]
    assert [attributes["type"] for attributes in scripts] == ["application/json"]
    css = (tmp_path / "report.html").read_text("utf-8")
    assert "url(" not in css
    assert "@import" not in css


@pytest.mark.parametrize(
    ("field", "heading"),
    [
        ("stft", "Distance from an STFT"),
        ("drift", "Drift from the reference"),
        ("scales", "How far the peaks stray"),
        ("bank", "Cumulative frequency response"),
        ("pairs", "Are they analytic?"),
        ("sound", "What it does to sound"),
        ("filters", "Bandwidth and frequency scale"),
        ("checks", "Thresholds"),
    ],
)
def test_a_question_that_does_not_apply_leaves_no_trace(field: str, heading: str, tmp_path: Path) -> None:
    full = verified(BANK, BANK, checks=both_checks(), heard=True)
    assert heading in written(full, BANK, BANK, tmp_path).text
    empty = [] if field in ("filters", "checks") else None
    text = written(dataclasses.replace(full, **{field: empty}), BANK, BANK, tmp_path).text
    assert heading not in text
    assert "None" not in text


def test_limits_say_on_which_side_they_lie(tmp_path: Path) -> None:
    limits = [*both_checks(), Check("bank.A", 0.5, 0.25, True, at_least=True)]
    text = written(dataclasses.replace(small(), checks=limits), BANK, BANK, tmp_path).text
    assert "at most 2" in text
    assert "at least 0.25" in text


def test_frame_bounds_are_said_to_be_eigenvalues_of_the_frame_operator(tmp_path: Path) -> None:
    """Not of the polyphase matrix E itself, which has none where it is not square."""
    assert "eigenvalue of the frame operator EᴴE" in written(small(), BANK, BANK, tmp_path).text


def test_without_a_hop_there_are_no_frame_bounds(tmp_path: Path) -> None:
    bank = random_bank()
    text = written(verified(bank), bank, None, tmp_path).text
    assert "No hop is known" in text
    assert "Condition number" not in text


def test_real_filters_have_no_imaginary_part_to_show(tmp_path: Path) -> None:
    bank = random_bank(complex_pairs=False)
    text = written(verified(bank), bank, None, tmp_path).text
    assert "imaginary" not in text
    assert "64 real filters of 256 taps" in text


def test_an_encoder_of_several_layers_has_a_probe_and_no_filters(tmp_path: Path) -> None:
    page = written(encoder(), None, None, tmp_path)
    assert page.count("figure") == 2
    assert page.count("tr") == 3
    for words in ("400 samples", "sines of amplitude 0.1", "channels that peak elsewhere"):
        assert words in page.text
    assert "assumed" in page.text
    assert "Impulse responses" not in page.text


def test_names_from_a_file_stay_words(tmp_path: Path) -> None:
    bank = dataclasses.replace(BANK, name=HOSTILE)
    v = verified(bank, bank, source=HOSTILE, heard=True)
    v = dataclasses.replace(
        v,
        verdict=HOSTILE,
        layout=HOSTILE,
        drift=v.drift and dataclasses.replace(v.drift, reference=HOSTILE),
        scales=v.scales and dataclasses.replace(v.scales, best=HOSTILE, residual={HOSTILE: 0.1}),
        stft=v.stft and dataclasses.replace(v.stft, verdict=HOSTILE),
        pairs=v.pairs and dataclasses.replace(v.pairs, verdict=HOSTILE),
        sound=v.sound and dataclasses.replace(v.sound, audio=HOSTILE, reference=HOSTILE),
        checks=[dataclasses.replace(both_checks()[0], name=HOSTILE)],
    )
    page = written(v, bank, bank, tmp_path)
    assert page.count("script") == 1
    assert page.count("img") == 0
    assert page.text.count(HOSTILE) >= 12
    assert "<" not in page.data, "neither an end of the script nor the begin of a comment"
    assert json.loads(page.data) == v.to_json()


def test_the_same_answers_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.html", "two.html"):
        write_report(verified(BANK, BANK), BANK, BANK, tmp_path / name)
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()


def test_512_filters_of_512_taps_stay_below_three_megabytes(tmp_path: Path) -> None:
    bank = random_bank(512, 512)
    written(verified(bank, bank), bank, bank, tmp_path)
    assert (tmp_path / "report.html").stat().st_size < 3e6


def test_dead_filters_and_undefined_numbers_are_told_not_drawn(tmp_path: Path) -> None:
    alive = torch.ones(12, 1)
    alive[3] = 0
    bank = dataclasses.replace(BANK, real=BANK.real * alive, imag=None, layout="real")
    v = verified(bank)
    assert math.isnan(v.filters[3].peak_hz)
    assert v.bank
    v = dataclasses.replace(v, bank=dataclasses.replace(v.bank, A=0.0, kappa=math.inf))
    page = written(v, bank, None, tmp_path)
    assert "infinite" in page.text
    assert "undefined" in page.text
    for _, attributes in page.elements:
        for name in ("d", "points", "x", "y"):
            assert not re.search("nan|inf", attributes.get(name) or "")


@pytest.mark.parametrize(("filters", "taps"), [(1, 1), (1, 400), (2, 2)])
def test_the_smallest_banks_have_reports(filters: int, taps: int, tmp_path: Path) -> None:
    bank = random_bank(filters, taps)
    assert written(verified(bank, bank), bank, bank, tmp_path).count("figure") > 6
