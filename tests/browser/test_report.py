"""The report in headless Chromium, light and dark, wide and narrow: it asks for nothing, complains of nothing and shows
its figures. `make test-browser` runs it; screenshots stay in browser_screenshots/."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from speechconv.verification.answers import Verification
from speechconv.verification.filter_bank import FilterBank
from speechconv.verification.report import write_report
from tests.browser.looking import PICTURES, SCREENSHOTS, check_page, screenshot
from tests.verification.verifications import (
    both_checks,
    encoder,
    gabor_bank,
    random_bank,
    stft_bank,
    verified,
)

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"

Case = tuple[Verification, FilterBank | None, FilterBank | None]


def noisy() -> Case:
    bank, reference = stft_bank(0.1), stft_bank()
    return verified(bank, reference, checks=both_checks(), heard=True), bank, reference


def alone(bank: FilterBank) -> Case:
    return verified(bank), bank, None


CASES: dict[str, Callable[[], Case]] = {
    "exact": lambda: (verified(stft_bank(), stft_bank()), stft_bank(), stft_bank()),
    "noisy": noisy,
    "gabor": lambda: alone(gabor_bank()),
    "random": lambda: alone(random_bank()),
    "real_only": lambda: alone(random_bank(complex_pairs=False)),
    "encoder": lambda: (encoder(), None, None),
    "hostile": lambda: alone(dataclasses.replace(gabor_bank(), name=HOSTILE)),
}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Case]:
    verification, bank, reference = CASES[request.param]()
    path = tmp_path_factory.mktemp("report") / f"{request.param}.html"
    write_report(verification, bank, reference, path)
    return request.param, path, (verification, bank, reference)


@pytest.mark.parametrize("width", [1200, 420])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_report_shows_itself_without_network_or_complaint(
    browser: Any, case: tuple[str, Path, Case], theme: str, width: int
) -> None:
    name, path, (verification, bank, reference) = case
    check_page(browser, path, theme, width)
    pictures = browser.execute_async_script(PICTURES)
    heat_maps = (2 if bank else 0) + bool(reference) + bool(verification.probe)
    assert len(pictures) == 2 * heat_maps, "each heat map has a colour scale"
    assert all(pictures)

    shown = browser.find_element("tag name", "main").text
    assert verification.verdict in shown
    for words in expected_words(verification):
        assert words in shown
    screenshot(browser, SCREENSHOTS / f"{name}_{theme}_{width}.png", width)
    for details in browser.find_elements("css selector", "details"):
        browser.execute_script("arguments[0].querySelector('summary').click()", details)
        assert details.find_element("css selector", "tbody tr").is_displayed()
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width


def expected_words(v: Verification) -> Iterator[str]:
    if v.bank and v.bank.kappa:
        yield f"{v.bank.kappa:.4g}"
    if v.drift:
        yield "Drift from the reference"
    if v.sound:
        yield "What it does to sound"
    if v.probe:
        yield "What it answers to"
        yield "400 samples"
    if v.checks:
        yield "Beyond a threshold"
        yield "FAIL"
    if v.filters:
        yield f"All {len(v.filters)} filters"
