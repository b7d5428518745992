"""The report in headless Chromium, light and dark, wide and narrow: it asks for nothing, complains of nothing and shows
its figures. `make test-browser` runs it; screenshots stay in browser_screenshots/."""

from __future__ import annotations

import base64
import dataclasses
import importlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from speechconv.verification.answers import Verification
from speechconv.verification.filter_bank import FilterBank
from speechconv.verification.report import write_report
from tests.verification.verifications import (
    both_checks,
    encoder,
    gabor_bank,
    random_bank,
    stft_bank,
    verified,
)

pytestmark = pytest.mark.skipif(
    "SPEECHCONV_BROWSER" not in os.environ,
    reason="needs Debian's chromium and chromium-driver; `make test-browser` runs it",
)

SCREENSHOTS = Path(__file__).parent.parent.parent / "browser_screenshots"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
]

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

PICTURES = """
const done = arguments[arguments.length - 1];
const sources = [...document.querySelectorAll("img")].map(e => e.src)
    .concat([...document.querySelectorAll("svg image")].map(e => e.href.baseVal));
Promise.all(sources.map(source => new Promise(resolve => {
    const picture = new Image();
    picture.onload = () => resolve(picture.naturalWidth);
    picture.onerror = () => resolve(0);
    picture.src = source;
}))).then(done);
"""

OVERLAPS = """
const box = e => e.getBoundingClientRect();
const found = [];
for (const svg of document.querySelectorAll("figure svg[role=img]")) {
    const frame = box(svg), texts = [...svg.querySelectorAll("text")];
    texts.forEach((a, i) => {
        const p = box(a);
        if (p.left < frame.left - 1 || p.right > frame.right + 1
            || p.top < frame.top - 1 || p.bottom > frame.bottom + 1)
            found.push([svg.getAttribute("aria-label"), a.textContent, "outside"]);
        for (const b of texts.slice(i + 1)) {
            const q = box(b);
            if (p.left < q.right && q.left < p.right && p.top + 2 < q.bottom && q.top + 2 < p.bottom)
                found.push([svg.getAttribute("aria-label"), a.textContent, b.textContent]);
        }
    });
}
return found;
"""

CONTRAST = """
const channel = c => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
const light = rgb => 0.2126 * channel(rgb[0]) + 0.7152 * channel(rgb[1]) + 0.0722 * channel(rgb[2]);
const numbers = text => text.match(/[\\d.]+/g).map(Number);
const ground = e => {
    for (; e; e = e.parentElement) {
        const rgb = numbers(getComputedStyle(e).backgroundColor);
        if (rgb.length < 4 || rgb[3] > 0) return rgb;
    }
    return [255, 255, 255];
};
const low = [];
for (const e of document.querySelectorAll("h1,h2,p,dt,dd,figcaption,span,th,td,code,summary,svg text")) {
    if (!e.textContent.trim()) continue;
    const style = getComputedStyle(e), ink = numbers(e.namespaceURI.endsWith("svg") ? style.fill : style.color);
    const [a, b] = [light(ink), light(ground(e))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) low.push([e.tagName, e.textContent.slice(0, 40), (a + 0.05) / (b + 0.05)]);
}
return low;
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium with a profile of its own, its console and its network under watch."""
    webdriver = importlib.import_module("selenium.webdriver")
    service = importlib.import_module("selenium.webdriver.chrome.service").Service
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.fail("no chromium: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=service(driver))
    yield started
    started.quit()


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
    open_page(browser, path, theme, width)

    assert browser.get_log("browser") == []
    assert requests(browser) == {path.as_uri()}
    pictures = browser.execute_async_script(PICTURES)
    heat_maps = (2 if bank else 0) + bool(reference) + bool(verification.probe)
    assert len(pictures) == 2 * heat_maps, "each heat map has a colour scale"
    assert all(pictures)
    assert browser.execute_script(OVERLAPS) == []
    assert browser.execute_script(CONTRAST) == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width

    shown = browser.find_element("tag name", "main").text
    assert verification.verdict in shown
    for words in expected_words(verification):
        assert words in shown
    for figure in browser.find_elements("css selector", "figure svg[role=img]"):
        assert figure.size["width"] > 300
        assert figure.size["height"] > 100
    background = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) < 200) == (theme == "dark")
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


def open_page(browser: Any, path: Path, theme: str, width: int) -> None:
    for log in ("browser", "performance"):
        browser.get_log(log)
    command(browser, "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    command(browser, "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
    browser.get(path.as_uri())


def requests(browser: Any) -> set[str]:
    """Addresses that were asked for, embedded data left out."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = {m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"}
    return {url for url in urls if not url.startswith("data:")}


def screenshot(browser: Any, path: Path, width: int) -> None:
    height = browser.execute_script("return document.documentElement.scrollHeight")
    command(
        browser, "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
    )
    shot = command(browser, "Page.captureScreenshot", format="png", captureBeyondViewport=True)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(base64.b64decode(shot["data"]))


def command(browser: Any, name: str, **parameters: object) -> Any:
    return browser.execute_cdp_cmd(name, parameters)
