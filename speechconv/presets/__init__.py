"""Ready-made pipelines, a TOML file each; the order of `[[stages]]` is the path of the signal."""

from __future__ import annotations

import tomllib
from importlib import resources


def preset_names() -> dict[str, str]:
    """Name -> one line of description.

    >>> sorted(preset_names())
    ['conformer-front', 'full', 'full-causal', 'logmel', 'wav2vec2-base', 'wav2vec2-large', 'wavenet-encoder']
    """
    files = sorted(resources.files(__name__).iterdir(), key=lambda file: file.name)
    return {
        file.name.removesuffix(".toml"): tomllib.loads(file.read_text("utf-8"))["description"]
        for file in files
        if file.name.endswith(".toml")
    }


def preset_text(name: str) -> str:
    """The TOML text of a preset that exists."""
    return resources.files(__name__).joinpath(f"{name}.toml").read_text("utf-8")
