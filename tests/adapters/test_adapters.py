"""The folder itself: a toolkit's file is imported when it is first asked for."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import speechconv as sc


def test_toolkits_are_imported_when_asked_for_and_import_no_toolkit() -> None:
    code = (
        "import sys, speechconv as sc; adapters = sc.adapters; print('speechconv.adapters.huggingface' in sys.modules);"
        "adapters.huggingface.load, adapters.torchaudio.load, adapters.huggingface.plug, adapters.torchaudio.plug;"
        "print([name for name in ('transformers', 'torchaudio', 'huggingface_hub') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split("\n")[:2] == ["False", "[]"]


def test_an_unknown_toolkit_is_named() -> None:
    with pytest.raises(
        AttributeError, match=r"no attribute 'kaldi'; the toolkits are espnet, huggingface, lhotse, nemo, sp"
    ):
        _ = sc.adapters.kaldi


@pytest.mark.parametrize(
    ("module", "toolkit", "install"),
    [
        ("speechbrain", "speechbrain", r"pip install 'speechconv\[speechbrain\]', 1.1 or newer"),
        ("huggingface_model", "transformers", r"pip install 'speechconv\[transformers\]', 5.0 or newer"),
        ("lhotse", "lhotse", r"pip install 'speechconv\[lhotse\]', 1.33 or newer"),
        ("espnet", "espnet2", r"pip install --no-deps espnet, 202511 or newer, and what it imports: typeguard "),
        ("nemo", "nemo", r"pip install 'nemo_toolkit\[asr\]', 3.0 or newer, in a venv of its own"),
    ],
)
def test_a_toolkit_that_is_not_there_is_an_error_in_words(
    module: str, toolkit: str, install: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == toolkit]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, toolkit, None)
    monkeypatch.delitem(sys.modules, f"speechconv.adapters.{module}", raising=False)
    with pytest.raises(ImportError, match=rf"^{toolkit} does not load \(.*\); {install}"):
        importlib.import_module(f"speechconv.adapters.{module}")


def test_models_of_transformers_are_names_of_huggingface() -> None:
    from speechconv.adapters import huggingface, huggingface_model

    for name in huggingface.MODELS:
        assert getattr(huggingface, name) is getattr(huggingface_model, name)
    with pytest.raises(AttributeError, match=r"'speechconv.adapters.huggingface' has no attribute 'SpeechconvModell'"):
        _ = huggingface.SpeechconvModell
