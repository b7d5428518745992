"""The folder itself: a toolkit's file is imported when it is first asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

import speechconv as sc


def test_toolkits_are_imported_when_asked_for_and_import_no_toolkit() -> None:
    code = (
        "import sys, speechconv as sc; adapters = sc.adapters; print('speechconv.adapters.huggingface' in sys.modules);"
        "adapters.huggingface.load, adapters.torchaudio.load;"
        "print([name for name in ('transformers', 'torchaudio', 'huggingface_hub') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split("\n")[:2] == ["False", "[]"]


def test_an_unknown_toolkit_is_named() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'kaldi'; the toolkits are huggingface, torchaudio"):
        _ = sc.adapters.kaldi
