"""A pipeline with statistics of a whole corpus behind it."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from speechconv.combine import named_parts
from speechconv.layer import placement
from speechconv.layers.cmvn import CMVN
from speechconv.pipeline import Pipeline
from speechconv.stores.statistics_file import read_statistics

STAGE = "global_cmvn"
"""Name of the stage."""


def with_cmvn(pipeline: Pipeline, stats: str | os.PathLike[str]) -> Pipeline:
    """The pipeline, and behind it (x - mean) / sqrt(variance + 1e-10) of each channel, by the statistics of a corpus.

    It streams as the pipeline does. The statistics are saved and loaded with it; the file is needed no more.

    Args:
        pipeline: whose features the statistics are of; its stages are shared, not copied.
        stats: file of `speechconv stats`, or of Kaldi's compute-cmvn-stats.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file that holds no statistics, or those of another number of channels; a pipeline that has global
            statistics behind it already.

    Example:
        >>> import tempfile, numpy as np
        >>> from speechconv.stores.statistics import FeatureStatistics
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     FeatureStatistics.of(np.random.randn(9, 80)).save(Path(folder, "stats.json"))
        ...     pipe = with_cmvn(Pipeline.from_preset("logmel"), Path(folder, "stats.json"))
        >>> pipe(torch.zeros(1, 16000)).shape, len(pipe.stream().push(torch.zeros(16000)))
        (torch.Size([1, 101, 80]), 99)
    """
    stages = dict(named_parts(pipeline))
    if STAGE in stages:
        raise ValueError(f"the pipeline has a stage {STAGE} already; its statistics would be taken off twice.")
    norm = CMVN(pipeline.output_dim)
    try:
        norm.hold(read_statistics(Path(stats)))
    except ValueError as error:
        raise ValueError(f"{os.fspath(stats)}: {error}") from None
    dtype, device = placement(pipeline) or (torch.get_default_dtype(), torch.device("cpu"))
    stages[STAGE] = norm.to(device, dtype)
    twin = Pipeline(stages, sample_rate=pipeline.sample_rate).train(pipeline.training)
    twin._drawn = twin._fingerprint() if pipeline.fresh_random else None
    return twin
