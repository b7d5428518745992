"""The voices that tests of recipes/digits_ctc train on, and two that are left out."""

from __future__ import annotations

from tests.conftest import ROOT

VOICES = ROOT / "audio_samples" / "digits"
HELD_OUT = "without-clf5,usm7"
