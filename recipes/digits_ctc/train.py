"""Train a recogniser of connected digits: one front-end, one fold.

    python recipes/digits_ctc/train.py --data FSDD --config logmel.toml

A killed run goes on where it was, by the same command.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from recipes.ctc.command import run_command
from recipes.ctc.run_folder import RunFolder
from recipes.ctc.trainer import tensorboard, train
from recipes.digits_ctc.batches import Batches
from recipes.digits_ctc.config import ENCODERS, SETTINGS, Config, front_ends, load_config
from recipes.digits_ctc.corpus import DATA_HELP, Fold, find_clips, fold_named
from speechconv.checks import check_count
from speechconv.memory import keep_freed_memory


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help=DATA_HELP)
    parser.add_argument(
        "--config", default="logmel", help=f"front-end: a file, or {', '.join((*front_ends(), *ENCODERS))}"
    )
    parser.add_argument("--fold", default="official", help="official (default), or without-SPEAKER[,SPEAKER ...]")
    parser.add_argument(
        "--live", action="store_true", help="an acoustic model that does not look ahead; causal encoders"
    )
    parser.add_argument("--output", type=Path, help="folder of the run (default: runs/CONFIG/FOLD-seedSEED)")
    parser.add_argument("--settings", type=Path, default=SETTINGS, help="TOML of what all front-ends share")
    parser.add_argument("--steps", type=int, help="instead of the settings'")
    parser.add_argument("--seed", type=int, help="instead of the settings'")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of torch (default: all cores)")
    args = parser.parse_args(arguments)
    run_command(lambda: _train(args), resumes=True)


def _train(args: argparse.Namespace) -> None:
    keep_freed_memory()
    torch.set_num_threads(check_count("threads", args.threads))
    config = load_config(args.config, settings=args.settings, live=args.live, steps=args.steps, seed=args.seed)
    fold = fold_named(find_clips(*args.data), args.fold)
    run = RunFolder(args.output or Path("runs") / config.name / f"{fold.name}-seed{config.training.seed}")
    started, data = time.perf_counter(), " ".join(map(str, args.data))
    print(f"{config.name} on {fold.name}: {len(fold.training)} recordings, {config.training.steps} steps", flush=True)
    train_run(config, fold, run)
    print(f"{run.path}: trained in {time.perf_counter() - started:.0f} s; next: evaluate.py {run.path} --data {data}")


def train_run(config: Config, fold: Fold, run: RunFolder) -> None:
    """Train, or go on training, until the run's folder holds the trained pipelines.

    Raises:
        ValueError: the folder is another config's, or another training is at work in it.
    """
    with run.alone():
        resume = run.begin(config.record(fold))
        model = config.build()
        model.as_pipeline()  # a front-end that it refuses is refused before the training
        batches = Batches(fold.training, config.augmentation, config.training.batch, config.training.seed)
        with tensorboard(run.path) as writers:
            train(model, batches, config.training, run, resume=resume, writers=writers)
        model.front.save(run.front_end)
        model.as_pipeline().save(run.recogniser)


if __name__ == "__main__":
    main()
