"""docs/: every snippet gives what its page shows, every link leads somewhere, no identity is left out."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

from speechconv import arithmetic, identities

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))
FENCE = re.compile(r"^```(\w*)$", re.MULTILINE)

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@each_page
def test_every_snippet_gives_what_the_page_shows(page: Path) -> None:
    """In one session, top to bottom. A fence would count as output, so an empty line stands for it."""
    session = FENCE.sub("", page.read_text("utf-8"))
    snippets = doctest.DocTestParser().get_doctest(session, {}, page.name, str(page), 0)
    told: list[str] = []
    outcome = doctest.DocTestRunner(verbose=False).run(snippets, out=told.append)
    assert outcome.attempted > 0
    assert not outcome.failed, "".join(told)


@each_page
def test_no_code_stands_where_it_is_not_run(page: Path) -> None:
    text = page.read_text("utf-8")
    assert set(FENCE.findall(text)) <= {"pycon", "text", ""}
    blocks = re.findall(r"^```pycon\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert blocks
    assert all(block.startswith(">>> ") for block in blocks)
    assert sum(line.startswith(">>> ") for line in text.splitlines()) == sum(block.count(">>> ") for block in blocks)


@each_page
def test_every_link_leads_somewhere(page: Path) -> None:
    text = page.read_text("utf-8")
    headings = {_anchor(heading) for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in headings, target
        elif "://" not in target:
            assert (page.parent / target).exists(), target


def _anchor(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("module", [arithmetic, identities], ids=lambda module: module.__name__)
def test_the_page_on_convolution_shows_every_identity(module: object) -> None:
    page = (ROOT / "docs" / "conv.md").read_text("utf-8")
    lines = re.findall(r"^(?:>>>|\.\.\.) (.*)$", page, re.MULTILINE)
    called = {name for line in lines for name in re.findall(r"(\w+)\(", line)}
    public = {
        name
        for name, value in vars(module).items()
        if getattr(value, "__module__", None) == getattr(module, "__name__", "") and not name.startswith("_")
    }
    assert len(public) >= 6
    assert public <= called
