"""Where a checkpoint comes from: an object in memory, a folder, a file, or the Hugging Face hub.

    folder   config.json, preprocessor_config.json, and the first of FILES that there is
    file     .safetensors; .bin, .pt, .pth, .ckpt by torch.load(weights_only=True), which runs no code of the file

Files are mapped, not read: what is never copied (the whole Transformer) costs no memory.
"""

from __future__ import annotations

import json
import os
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

FILES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
"""Weights in a folder of transformers, in the order in which they are looked for."""

TORCH_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt")
CONFIGS = ("config.json", "preprocessor_config.json", "processor_config.json")
WRAPPERS = ("model", "state_dict", "model_state_dict")
"""Under which of its keys a training checkpoint keeps the state dict; fairseq: model, Lightning: state_dict."""


@dataclass(frozen=True)
class Checkpoint:
    """Tensors, and what their maker wrote about them.

    Attributes:
        where: file, folder or type, for messages.
        tensors: the state dict.
        config: transformers' config.json.
        preprocessor: transformers' preprocessor_config.json: do_normalize, sampling_rate.
    """

    where: str
    tensors: Mapping[str, Tensor]
    config: Mapping[str, Any] | None = None
    preprocessor: Mapping[str, Any] | None = None


Source = str | os.PathLike[str] | Mapping[str, Tensor] | nn.Module
"""Folder, file, hub name ("owner/name"), state dict, or a model of transformers."""


def open_checkpoint(source: Source) -> Checkpoint:
    """The checkpoint at, in or under that name.

    Raises:
        FileNotFoundError: nothing there, or a folder without weights.
        ValueError: a file that holds no state dict; one that needs code of its own to be read.
        TypeError: an object that is no model of transformers.
        ImportError: a hub name without the package huggingface_hub.
        ConnectionError: a hub name that the hub does not give.

    Example:
        >>> open_checkpoint({"lm_head.weight": torch.zeros(2, 3)}).where
        'the state dict'
    """
    if isinstance(source, nn.Module):
        return _of_model(source)
    if isinstance(source, Mapping):
        return Checkpoint("the state dict", _state_dict(source, "the state dict"))
    path = Path(source)
    if not path.exists():
        path = _download(os.fspath(source))
    if path.is_file() and path.name in FILES and (path.parent / "config.json").is_file():
        return _of_folder(path.parent, path)
    return _of_folder(path, _weights_in(path)) if path.is_dir() else Checkpoint(str(path), _tensors(path))


def _of_model(model: nn.Module) -> Checkpoint:
    kind = type(model).__name__
    config = getattr(model, "config", None)
    if not hasattr(config, "to_dict"):
        raise TypeError(
            f"expected a model of transformers, with its config; got {kind}. Models of torchaudio are for "
            "speechconv.adapters.torchaudio; of any other model pass the state_dict()."
        )
    return Checkpoint(kind, model.state_dict(), config.to_dict())  # pyright: ignore[reportOptionalMemberAccess] - it has


def _of_folder(folder: Path, weights: Path) -> Checkpoint:
    config, preprocessor, processor = (_json(folder / name) if (folder / name).is_file() else None for name in CONFIGS)
    if preprocessor is None and processor is not None:
        preprocessor = processor.get("feature_extractor")
    return Checkpoint(str(folder), _tensors(weights), config, preprocessor)


def _weights_in(folder: Path) -> Path:
    for name in FILES:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(
        f"no weights in the folder {folder}: expected one of {', '.join(FILES)}; it holds "
        f"{', '.join(sorted(os.listdir(folder))) or 'nothing'}. A file of another name can be passed as it is."
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(content).__name__}.")
    return content


def _tensors(path: Path) -> Mapping[str, Tensor]:
    if path.name.endswith(".index.json"):
        return _of_shards(path)
    if path.suffix == ".safetensors":
        return _of_safetensors(path)
    if path.suffix in TORCH_SUFFIXES:
        return _of_torch_file(path)
    raise ValueError(f"{path} is no checkpoint: expected .safetensors or {', '.join(TORCH_SUFFIXES)}.")


def _of_shards(index: Path) -> dict[str, Tensor]:
    places = _json(index).get("weight_map")
    if not isinstance(places, dict):
        raise ValueError(f"{index} has no weight_map, which names the file of each tensor.")
    files = sorted(set(places.values()))
    absent = [name for name in files if not (index.parent / name).is_file()]
    if absent:
        raise FileNotFoundError(f"{index} names files that are not beside it: {', '.join(absent)}.")
    return {key: tensor for name in files for key, tensor in _tensors(index.parent / name).items()}


def _of_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            if "pipeline" in (file.metadata() or {}):
                raise ValueError(f"{path} is a pipeline of speechconv's own; open it with speechconv.Pipeline.load.")
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file: {error}") from None


def _of_torch_file(path: Path) -> Mapping[str, Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # a file that is none of torch's fails in any way
        raise ValueError(_why_unread(path, error)) from None
    return _state_dict(content, str(path))


def _why_unread(path: Path, error: Exception) -> str:
    """What torch.load stumbled upon, and what to do about it."""
    found = re.search(r"GLOBAL (\w[\w.]*)", str(error))
    if not found:
        return f"{path} is not a file of torch's ({type(error).__name__}: {str(error).partition(os.linesep)[0]})."
    alone = str(path.with_suffix(".tensors.pt"))
    return (
        f"{path} holds more than tensors ({found[1]}), and reading that would run code from the file. If you trust it, "
        f"save its tensors alone, where {found[1].partition('.')[0]} is installed: "
        f"torch.save(torch.load({str(path)!r}, map_location='cpu', weights_only=False)['model'], {alone!r})"
    )


def _state_dict(content: Any, where: str) -> Mapping[str, Tensor]:
    """The tensors themselves, or those that a training checkpoint wraps."""
    if isinstance(content, Mapping):
        inner = [content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)]
        for candidate in (content, *inner):
            if candidate and all(isinstance(value, Tensor) for value in candidate.values()):
                return candidate
    held = ", ".join(map(str, content)) if isinstance(content, Mapping) else type(content).__name__
    raise ValueError(
        f"{where} holds no state dict, neither as it is nor under {', '.join(WRAPPERS)}; it holds {held or 'nothing'}."
    )


def _download(name: str) -> Path:
    """The folder of a model on the hub: configs and weights, .bin only where there is no .safetensors."""
    if not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name) or Path(name).suffix in (".safetensors", *TORCH_SUFFIXES):
        raise FileNotFoundError(f"no file or folder {name}; a model on the hub is named owner/name.")
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise ImportError(
            f"no file or folder {name}, and to fetch it from the hub takes the package huggingface_hub: "
            "pip install huggingface_hub, or download the model and pass its folder."
        ) from None
    try:
        folder = Path(snapshot_download(name, allow_patterns=[*CONFIGS, "model*.safetensors", FILES[1]]))
        if not any(folder.glob("model*.safetensors")):
            folder = Path(snapshot_download(name, allow_patterns=[*CONFIGS, "pytorch_model*.bin", FILES[3]]))
    except (OSError, ValueError) as error:
        raise ConnectionError(
            f"no file or folder {name}, and the hub did not give it ({type(error).__name__}: {error}). Check the name "
            "and the network, or download the model and pass its folder."
        ) from None
    return folder
