"""The pipeline of a recipe, built the same way in every process, and what names it."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import os
import platform
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import numpy
import soundfile
import soxr
import torch

from speechconv import __version__
from speechconv.extraction.recipe import Facts, Recipe
from speechconv.layer import placement
from speechconv.pipeline import Pipeline, open_pipeline

GPU_BATCH = 16
_drawing = threading.Lock()
"""All threads draw from one generator of torch's."""


def build_pipeline(recipe: Recipe) -> Pipeline:
    """The pipeline that `recipe` names, in eval mode, of its precision, on its device.

    Raises:
        ValueError, FileNotFoundError: see `named_pipeline`; or statistics that do not fit it, or no such device.
    """
    pipe = named_pipeline(recipe.pipeline, recipe.overrides, recipe.random_weights)
    if recipe.cmvn is not None:
        from speechconv.global_cmvn import with_cmvn

        pipe = with_cmvn(pipe, recipe.cmvn)
    dtype = getattr(torch, recipe.precision) if recipe.precision else None
    device = _device(recipe.device)
    if dtype is not None or device.type != "cpu":
        pipe = copy.deepcopy(pipe).to(device=device, dtype=dtype)  # one that was given stays as it is
    return pipe


def named_pipeline(
    source: str | os.PathLike[str] | Pipeline, overrides: Mapping[str, Any], random_weights: int | None
) -> Pipeline:
    """The pipeline of a name, a file, or as it is given.

    Raises:
        ValueError: unknown names or keys; random weights without a seed; a finished pipeline with values to build it.
        FileNotFoundError: no such file.
    """
    if isinstance(source, Pipeline) and (overrides or random_weights is not None):
        raise ValueError("overrides and random_weights build a pipeline, this one is built; pass its name or file.")
    pipe = source if isinstance(source, Pipeline) else _open(source, overrides, random_weights)
    if pipe.fresh_random and random_weights is None:
        raise ValueError(
            "the weights of this pipeline are fresh random numbers, so its features would be noise; load trained "
            "ones, or give random_weights (--random-weights SEED) if noise of a known seed is what you want."
        )
    return pipe


def computes_in(pipe: Pipeline, precision: str | None = None, device: str = "cpu") -> tuple[torch.dtype, torch.device]:
    """Type and place of the samples that `pipe` takes; one without weights takes what is asked for."""
    return placement(pipe) or (getattr(torch, precision or "float32"), _device(device))


def facts(recipe: Recipe, pipe: Pipeline) -> Facts:
    """What `recipe` came to: of `pipe`, which it built."""
    dtype, device = computes_in(pipe, recipe.precision, recipe.device)
    ingredients = {
        "pipeline": _text(pipe),
        "weights": _fingerprint(pipe),
        "channel": str(recipe.channel),
        "resample": recipe.resample,
        "dtype": recipe.dtype,
        "precision": str(dtype).removeprefix("torch."),
        "device": device.type,
        "batch": str(batch_rows(recipe)),
    }
    return Facts(ingredients, pipe.hop_length, pipe.output_dim, pipe.sample_rate, _versions())


def batch_rows(recipe: Recipe) -> int:
    """Short sounds that go through the pipeline together."""
    return recipe.batch or (GPU_BATCH if _device(recipe.device).type == "cuda" else 1)


def _open(source: str | os.PathLike[str], overrides: Mapping[str, Any], seed: int | None) -> Pipeline:
    if seed is None:
        return open_pipeline(source, overrides)
    with _drawing, torch.random.fork_rng(devices=[]):  # torch's generator is left as it was
        torch.manual_seed(seed)
        return open_pipeline(source, overrides)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"device (={name!r}) must be 'auto', 'cpu', 'cuda' or 'cuda:N'.") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device (={name!r}): torch sees {torch.cuda.device_count()} CUDA device(s) here; use 'cpu'.")
    return device


def _text(pipeline: Pipeline) -> str:
    try:
        return pipeline.to_toml()
    except TypeError:  # a stage of one's own, which may print less than it is made of
        settings = (f"{name}: {_settings(stage)}" for name, stage in pipeline.named_modules())
        return "\n".join([repr(pipeline), *settings])


def _settings(stage: torch.nn.Module) -> dict[str, Any]:
    """Its public attributes that are numbers, words, or rows of them."""
    return {
        name: value
        for name, value in sorted(vars(stage).items())
        if not name.startswith("_") and name != "training" and _is_plain(value)
    }


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | complex | str)


def _fingerprint(pipeline: Pipeline) -> str:
    """sha256 of all its weights and statistics."""
    digest = hashlib.sha256()
    for name, tensor in sorted(pipeline.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _versions() -> dict[str, str]:
    libraries = {module.__name__: str(module.__version__) for module in (torch, numpy, soundfile, soxr)}
    return {"speechconv": __version__, **libraries, "python": platform.python_version()}


class _Threads:
    """Torch's number of threads is each thread's own, but new ones begin with what any other one set last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._own = threading.local()
        self._inside = 0
        self._outside = 1

    def enter(self) -> None:
        with self._lock:
            if not self._inside:
                self._outside = torch.get_num_threads()
            if not getattr(self._own, "depth", 0):
                self._own.depth = 0
                self._inside += 1
            self._own.depth += 1
            torch.get_num_threads()  # a thread's first question sets its number
            torch.set_num_threads(1)

    def leave(self) -> None:
        with self._lock:
            self._own.depth -= 1
            if not self._own.depth:
                self._inside -= 1
                torch.set_num_threads(self._outside)


_threads = _Threads()


@contextlib.contextmanager
def one_torch_thread() -> Iterator[None]:
    """One thread inside, as many as before behind: the bits of a sum depend on how many threads share it."""
    _threads.enter()
    try:
        yield
    finally:
        _threads.leave()
