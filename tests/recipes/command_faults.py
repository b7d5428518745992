"""What a recipe's command says when something is wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest


def failing(command: Callable[[list[str]], None], arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a command ends with."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as status:
        command(arguments)
    assert status.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]
