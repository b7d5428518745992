"""What names a pipeline: a preset, a .toml, a saved .safetensors, or the folder of a training run that holds one."""

from __future__ import annotations

import os
from pathlib import Path

from speechconv.checks import check_known
from speechconv.presets import preset_names

IN_FOLDER = "pipeline.safetensors"
"""The saved pipeline that a folder stands for."""


def source_file(source: str | os.PathLike[str]) -> Path | None:
    """The .toml or .safetensors file that `source` names; None for a preset. Needs no torch.

    Raises:
        ValueError: a name that is neither file, folder nor preset.
        FileNotFoundError: no such file, or a folder without a saved pipeline.

    >>> print(source_file("logmel"))
    None
    """
    if str(source) in preset_names():
        return None
    path = Path(source)
    if path.is_dir():
        if not (path / IN_FOLDER).is_file():
            raise FileNotFoundError(
                f"the folder {path} holds no {IN_FOLDER}; expected the folder of a run that is trained to its end."
            )
        return path / IN_FOLDER
    if path.suffix not in (".toml", ".safetensors"):
        check_known([str(source)], [*preset_names(), "FILE.toml", "FILE.safetensors"], "preset", "speechconv")
    if not path.is_file():
        raise FileNotFoundError(f"no pipeline file at {path}.")
    return path
