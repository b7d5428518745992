"""What every example of recipes/plug_in does: it learns, moves the filters, and prints what its README shows."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from recipes.plug_in.outcome import Outcome

README = (Path(__file__).parents[2] / "recipes" / "plug_in" / "README.md").read_text("utf-8")


def assert_learns(
    name: str, main: Callable[[], Outcome | dict[str, Outcome]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Runs the example of that name."""
    assert f"python -m recipes.plug_in.{name}`" in README
    found = main()
    printed = capsys.readouterr().out
    for result in found.values() if isinstance(found, dict) else [found]:
        assert result.last < 0.6 * result.first
        assert 0.01 < result.change < 0.5
        assert str(result) in printed
    for line in printed.splitlines():  # with the figures of one run
        assert re.sub(r"[\d.]+(e-\d+)?", "0", line) in re.sub(r"[\d.]+(e-\d+)?", "0", README)
