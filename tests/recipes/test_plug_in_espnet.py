"""The example of ESPnet, as its README says."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from tests.recipes.examples import assert_learns

if not find_spec("espnet2"):
    pytest.skip("ESPnet is not installed: make test-toolkits", allow_module_level=True)

from recipes.plug_in import espnet


def test_the_example_learns_and_moves_the_filters(capsys: pytest.CaptureFixture[str]) -> None:
    assert_learns("espnet", espnet.main, capsys)
