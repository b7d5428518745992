"""A toolkit that is not there, asked for by its adapter."""

from __future__ import annotations

import importlib
import sys

import pytest


@pytest.mark.parametrize(
    ("adapter", "module", "message"),
    [
        (
            "lhotse",
            "lhotse.dataset.input_strategies",
            r"lhotse does not load \(.*\); pip install lhotse, 1.30 or newer",
        ),
        ("espnet", "espnet2.asr.frontend.abs_frontend", r"espnet does not load .* --no-deps espnet, 202511 or newer"),
        ("nemo", "nemo.core.classes", r"nemo does not load .* pip install 'nemo_toolkit\[asr\]', 3.0 or newer, in a v"),
    ],
)
def test_a_toolkit_that_is_not_there_is_an_error_in_words(
    adapter: str, module: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, f"speechconv.adapters.{adapter}", raising=False)
    with pytest.raises(ImportError, match=message):
        importlib.import_module(f"speechconv.adapters.{adapter}")
