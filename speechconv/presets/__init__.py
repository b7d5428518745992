"""Ready-made pipelines, a TOML file each; the order of `[[stages]]` is the path of the signal.

A .safetensors file beside it, of the same name, holds trained weights.
"""

from __future__ import annotations

import tomllib
from importlib import resources


def preset_names() -> dict[str, str]:
    """Name -> one line of description.

    >>> preset_names()["logmel"]
    '80 log-mel bands as librosa computes them: 25 ms periodic Hann windows every 10 ms at 16 kHz, natural logarithm'
    """
    files = (file for file in resources.files(__name__).iterdir() if file.name.endswith(".toml"))
    texts = {file.name.removesuffix(".toml"): file.read_text("utf-8") for file in files}
    return {name: tomllib.loads(texts[name])["description"] for name in sorted(texts)}


def preset_text(name: str) -> str:
    """The TOML text of a preset that exists."""
    return resources.files(__name__).joinpath(f"{name}.toml").read_text("utf-8")


def preset_weights(name: str) -> bytes | None:
    """The safetensors file with the trained weights of a preset that exists; None for one that has none."""
    file = resources.files(__name__).joinpath(f"{name}.safetensors")
    return file.read_bytes() if file.is_file() else None
