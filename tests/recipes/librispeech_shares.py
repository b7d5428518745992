"""What torchrun starts twice in a test: one step of training, of which the gradients and weights are kept.

torchrun --nproc-per-node 2 tests/recipes/librispeech_shares.py CORPUS OUTPUT
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from recipes.ctc.processes import Processes, started
from recipes.ctc.run_folder import RunFolder
from recipes.librispeech_ctc.config import SETTINGS, load_config
from recipes.librispeech_ctc.train import Sources, train_run

MOST = (16, 1)
"""Utterances of a batch: shares of eight, and one that leaves the second process an empty share."""


def gradients(corpus: Path, output: Path, most: int, processes: Processes) -> dict[str, Tensor]:
    """Of one step, not clipped, with SpecAugment's holes; and the weights behind it."""
    config = load_config(SETTINGS.with_name("tiny.toml"), steps=1)
    config = replace(config, training=replace(config.training, batch=most, clip=1e9, warmup=0))
    run = RunFolder(output / f"{processes.size}-processes-{most}")
    model = train_run(
        config,
        Sources("logmel", "characters", [corpus]),
        run,
        processes=processes,
        device=torch.device("cpu"),
        readers=1,
    )
    found = {f"gradient of {name}": p.grad for name, p in model.named_parameters() if p.grad is not None}
    return found | {name: p.detach() for name, p in model.named_parameters()}


if __name__ == "__main__":
    with started("cpu") as (processes, _):
        for most in MOST:
            found = gradients(Path(sys.argv[1]), Path(sys.argv[2]), most, processes)
            torch.save(found, f"{sys.argv[2]}/{most}-rank{processes.rank}.pt")
