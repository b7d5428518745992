"""The pipeline of a run, built the same way in every process."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from speechconv.pipeline import Pipeline, open_pipeline


def build_pipeline(
    source: str | os.PathLike[str] | Pipeline, overrides: Mapping[str, Any], random_weights: int | None
) -> Pipeline:
    """The pipeline that `source` names.

    Args:
        source: preset name, .toml or .safetensors file, or a pipeline, which is taken as it is.
        overrides: other values for a preset's keys.
        random_weights: seed of the weights of a pipeline that has none of its own; torch's generator is left as it was.

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


def _open(source: str | os.PathLike[str], overrides: Mapping[str, Any], seed: int | None) -> Pipeline:
    if seed is None:
        return open_pipeline(source, overrides)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return open_pipeline(source, overrides)


@contextlib.contextmanager
def one_torch_thread() -> Iterator[None]:
    """One thread inside, as many as before behind: the bits of a sum depend on how many threads share it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
