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
import io
import json
import platform
import zipfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from speechconv.extraction.lock import only_run_in
from speechconv.stores.whole_file import whole_path, whole_text

PACKAGES = ("torch", "numpy", "speechconv")


class RunFolder:
    """Files of one run; each is written whole or not at all, but the log, which grows by lines.

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

    def alone(self) -> AbstractContextManager[None]:
        """Keep other trainings out of the folder until the end.

        Raises:
            ValueError: another training is at work in it.
        """
        return only_run_in(self.path, run="training", instead="or choose another --output")

    def begin(self, config: Mapping[str, Any]) -> bool:
        """Write the config, or see that it is the one that the folder was begun with.

        Returns:
            Whether there is a checkpoint to go on from.

        Raises:
            ValueError: the folder is another config's, or none of a run.
        """
        config = json.loads(json.dumps(config))  # as config() gives it back: no tuples
        if (self.path / "config.json").exists():
            theirs = self.config()
            if theirs != config:
                raise ValueError(
                    f"{self.path} was trained by another config: {_first_difference(theirs, config)}; "
                    "choose another --output, or remove that folder."
                )
        else:
            self.write("config.json", {"config": config, "fingerprint": fingerprint(config), "versions": versions()})
        return (self.path / "checkpoint.pt").exists()

    def config(self) -> dict[str, Any]:
        """What `begin` was given.

        Raises:
            FileNotFoundError: the folder has no config.json.
            ValueError: it is not one of a run.
        """
        content = self.read("config.json")
        if not isinstance(content, dict) or not isinstance(content.get("config"), dict):
            raise ValueError(f"{self.path / 'config.json'} is not a run's; expected a folder which train.py made.")
        return content["config"]

    def save_checkpoint(self, state: Mapping[str, Any]) -> None:
        """Put it in the place of the one before.

        Raises:
            OSError: the disk is full; the one before is left as it was.
        """
        content = io.BytesIO()  # torch.save into a file would not tell that the disk is full
        torch.save(dict(state), content)
        with whole_path(self._made("checkpoint.pt")) as temporary:
            temporary.write_bytes(content.getbuffer())

    def checkpoint(self) -> dict[str, Any]:
        """What `save_checkpoint` was last given.

        Raises:
            FileNotFoundError: it has not been called yet.
            ValueError: what is there is no checkpoint.
        """
        path = self.path / "checkpoint.pt"
        if not path.is_file():
            raise FileNotFoundError(f"{self.path} holds no checkpoint yet; expected a run that train.py has begun.")
        if not zipfile.is_zipfile(path):
            raise ValueError(f"{path} is damaged; remove it, and train.py begins anew.")
        return torch.load(path, map_location="cpu", weights_only=True)

    def log(self, line: Mapping[str, Any]) -> None:
        with open(self.path / "log.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def cut_log(self, step: int) -> None:
        """Take back the lines behind `step`, and one that a kill left unfinished: what they tell is done again."""
        path = self.path / "log.jsonl"
        lines = path.read_text("utf-8").splitlines(keepends=True) if path.is_file() else []
        kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
        if kept != lines:
            with whole_text(path) as file:
                file.writelines(kept)

    def write(self, name: str, content: Any) -> None:
        with whole_text(self._made(name)) as file:
            file.write(json.dumps(content, indent=1) + "\n")

    def read(self, name: str) -> Any:
        """What JSON file `name` holds.

        Raises:
            FileNotFoundError: the folder has none.
            ValueError: it is no JSON.
        """
        path = self.path / name
        if not path.is_file():
            raise FileNotFoundError(f"{self.path} holds no {name}; expected the folder of a run, which train.py makes.")
        try:
            return json.loads(path.read_text("utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is not valid JSON: {error}") from None

    def _made(self, name: str) -> Path:
        """Where a file goes, in a folder that is there."""
        self.path.mkdir(parents=True, exist_ok=True)
        return self.path / name


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
