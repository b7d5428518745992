"""Recordings that several files of tests read, each made once per process or once per test."""

from __future__ import annotations

from pathlib import Path

import pytest

from recipes.librispeech_ctc.tones import write_corpus


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tones in LibriSpeech's layout: train/ and test/. To be read only; who damages it takes a copy."""
    folder = tmp_path_factory.mktemp("tones")
    write_corpus(folder)
    return folder
