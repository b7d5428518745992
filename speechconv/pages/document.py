"""The page itself: one HTML file with its style in it, which may neither run nor load anything."""

from __future__ import annotations

import os
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template


def document(title: str, body: str, *, style: str = "", behind: str = "", sound: bool = False) -> str:
    """A whole HTML page.

    Args:
        title: plain words.
        body: HTML of what is shown.
        style: CSS beside the one that all pages share.
        behind: HTML behind what is shown, for machines.
        sound: whether the page holds sounds, as data URIs; a browser plays none that it was not told of.
    """
    folder = files("speechconv.pages")
    css = folder.joinpath("page.css").read_text("utf-8").strip()
    return Template(folder.joinpath("page.html").read_text("utf-8")).substitute(
        title=escape(title),
        media="; media-src data:" if sound else "",
        style=f"{css}\n{style.strip()}" if style else css,
        body=body,
        behind=behind,
    )


def check_output(path: str | os.PathLike[str]) -> None:
    """Before the work, not after it: FileNotFoundError or ValueError where no file can be written at that path."""
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name the file to write in it.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"no folder {path.parent} to write {path.name} in; make it first.")
