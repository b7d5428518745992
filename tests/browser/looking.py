"""What a browser is asked about a page: what it loaded, what it shows, and whether a reader can read it."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

SCREENSHOTS = Path(__file__).parent.parent.parent / "browser_screenshots"

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


def check_page(browser: Any, path: Path, theme: str, width: int) -> None:
    """It asks for nothing, complains of nothing, and can be read in that theme and width."""
    open_page(browser, path, theme, width)
    assert browser.get_log("browser") == []
    assert requests(browser) == {path.as_uri()}
    assert browser.execute_script(OVERLAPS) == []
    assert browser.execute_script(CONTRAST) == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    for figure in browser.find_elements("css selector", "figure svg[role=img]"):
        assert figure.size["width"] > 300
        assert figure.size["height"] > 100
    background = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) < 200) == (theme == "dark")


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
