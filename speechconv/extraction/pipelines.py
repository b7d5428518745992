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


def build_pipeline(recipe: Recipe) -> Pipeline:
    """The pipeline that `recipe` names, in eval mode, of its precision, on its device.

    Raises:
        ValueError: unknown names or keys; random weights without a seed; a finished pipeline with values to build it;
            statistics that do not fit it; no such device.
        FileNotFoundError: no such file.
    """
    pipe = _built(recipe.pipeline, recipe.overrides, recipe.random_weights)
    if recipe.cmvn is not None:
        from speechconv.stores.statistics import with_cmvn

        pipe = with_cmvn(pipe, recipe.cmvn)
    dtype = getattr(torch, recipe.precision) if recipe.precision else None
    device = _device(recipe.device)
    if dtype is not None or device.type != "cpu":
        pipe = copy.deepcopy(pipe).to(device=device, dtype=dtype)  # one that was given stays as it is
    return pipe


def facts(recipe: Recipe, pipe: Pipeline) -> Facts:
    """What `recipe` came to: of `pipe`, which it built."""
    dtype, device = computes_in(recipe, pipe)
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


def _built(
    source: str | os.PathLike[str] | Pipeline, overrides: Mapping[str, Any], random_weights: int | None
) -> Pipeline:
    if isinstance(source, Pipeline) and (overrides or random_weights is not None):
        raise ValueError("overrides and random_weights build a pipeline, this one is built; pass its name or file.")
    pipe = source if isinstance(source, Pipeline) else _open(source, overrides, random_weights)
    if pipe.fresh_random and random_weights is None:
        raise ValueError(
            "the weights of this pipeline are fresh random numbers, so its features would be noise; load trained "
            "ones, or give random_weights (--random-weights SEED) if noise of a known seed is what you want."
        )
    return pipe


def _open(source: str | os.PathLike[str], overrides: Mapping[str, Any], seed: int | None) -> Pipeline:
    if seed is None:
        return open_pipeline(source, overrides)
    with torch.random.fork_rng(devices=[]):  # torch's generator is left as it was
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
    except TypeError:  # a stage of one's own
        return repr(pipeline)


def _fingerprint(pipeline: Pipeline) -> str:
    """sha256 of all its weights and statistics."""
    digest = hashlib.sha256()
    for name, tensor in sorted(pipeline.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def computes_in(recipe: Recipe, pipe: Pipeline) -> tuple[torch.dtype, torch.device]:
    """Type and place of the samples that `pipe` takes."""
    return placement(pipe) or (getattr(torch, recipe.precision or "float32"), _device(recipe.device))


def _versions() -> dict[str, str]:
    libraries = {module.__name__: str(module.__version__) for module in (torch, numpy, soundfile, soxr)}
    return {"speechconv": __version__, **libraries, "python": platform.python_version()}


@contextlib.contextmanager
def one_torch_thread() -> Iterator[None]:
    """One thread inside, as many as before behind: the bits of a sum depend on how many threads share it.

    Several threads of Python may be inside; the last of them to leave gives back what the first one found.
    """
    with _inside.lock:
        if not _inside.count:
            _inside.before = torch.get_num_threads()
        _inside.count += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _inside.lock:
            _inside.count -= 1
            if not _inside.count:
                torch.set_num_threads(_inside.before)


class _Inside:
    """How many threads of Python hold torch to one thread, and how many it had before."""

    lock = threading.Lock()
    count = 0
    before = 1


_inside = _Inside()
