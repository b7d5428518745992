"""A training run's folder: what it was asked, what it became, and how it went.

config.json               everything that the training follows from, and a hash of it
checkpoint.pt             where to go on after a kill
log.jsonl                 loss and seconds, every so many steps
pipeline.safetensors      the trained front-end: `speechconv extract --pipeline RUN`, `speechconv verify RUN`
recogniser.safetensors    front-end and acoustic model as one pipeline
metrics.json              what evaluate found
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("torch", "numpy", "speechconv")


class RunFolder:
    """Files of one run; each is written whole or not at all.

    Args:
        path: made when it is first written to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def front_end(self) -> Path:
        return self.path / "pipeline.safetensors"

    @property
    def recogniser(self) -> Path:
        return self.path / "recogniser.safetensors"

    def begin(self, config: Mapping[str, Any]) -> bool:
        """Write the config, or see that it is the one that the folder was begun with.

        Returns:
            Whether there is a checkpoint to go on from.

        Raises:
            ValueError: the folder is another config's.
        """
        digest = fingerprint(config)
        if (self.path / "config.json").exists():
            theirs = self.read("config.json")
            if theirs["fingerprint"] != digest:
                raise ValueError(
                    f"{self.path} was trained by another config: {_first_difference(theirs['config'], config)}; "
                    "choose another --output, or remove that folder."
                )
        else:
            self.write("config.json", {"config": config, "fingerprint": digest, "versions": versions()})
        return (self.path / "checkpoint.pt").exists()

    def config(self) -> dict[str, Any]:
        return self.read("config.json")["config"]

    def save_checkpoint(self, state: Mapping[str, Any]) -> None:
        temporary = self._temporary("checkpoint.pt")
        torch.save(dict(state), temporary)
        os.replace(temporary, self.path / "checkpoint.pt")

    def checkpoint(self) -> dict[str, Any]:
        """What `save_checkpoint` was last given.

        Raises:
            FileNotFoundError: it has not been called yet.
        """
        path = self.path / "checkpoint.pt"
        if not path.is_file():
            raise FileNotFoundError(f"{self.path} holds no checkpoint yet; expected a run that train.py has begun.")
        return torch.load(path, map_location="cpu", weights_only=True)

    def log(self, line: Mapping[str, Any]) -> None:
        with open(self.path / "log.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def write(self, name: str, content: Any) -> None:
        temporary = self._temporary(name)
        temporary.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
        os.replace(temporary, self.path / name)

    def read(self, name: str) -> Any:
        """What JSON file `name` holds.

        Raises:
            FileNotFoundError: the folder has none.
        """
        path = self.path / name
        if not path.is_file():
            raise FileNotFoundError(f"{self.path} holds no {name}; expected the folder of a run, which train.py makes.")
        return json.loads(path.read_text("utf-8"))

    def _temporary(self, name: str) -> Path:
        self.path.mkdir(parents=True, exist_ok=True)
        return self.path / f".{name}.tmp"


def fingerprint(config: Mapping[str, Any]) -> str:
    """Of all values, whatever the order of the keys.

    >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1}) != fingerprint({"a": 1})
    True
    """
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}


def _first_difference(one: Any, other: Any, name: str = "") -> str:
    """Where two configs differ first, in words."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in sorted({*one, *other}):
            if one.get(key) != other.get(key):
                return _first_difference(one.get(key), other.get(key), f"{name}.{key}" if name else key)
    return f"{name} was {json.dumps(one)}, is now {json.dumps(other)}"
