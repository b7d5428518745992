"""What several tests take of recipes/librispeech_ctc: its README, its tiny settings, and a front-end to learn."""

from __future__ import annotations

from recipes.librispeech_ctc.config import SETTINGS

README = SETTINGS.with_name("README.md")
TINY = SETTINGS.with_name("tiny.toml")
ENCODER = """
sample_rate = 16000
[[stages]]
stage = "feature_encoder"
channels = 16
"""
