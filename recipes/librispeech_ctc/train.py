"""Train a Conformer with CTC behind a front-end, in one process or in several.

    python recipes/librispeech_ctc/train.py --data LibriSpeech/train-clean-100 --output RUN
    torchrun --standalone --nproc-per-node 8 recipes/librispeech_ctc/train.py --data ... --output RUN

A killed run goes on where it was, by the same command, also with another number of processes.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

import torch

from recipes.ctc.command import run_command
from recipes.ctc.processes import Processes, started
from recipes.ctc.recogniser import Recogniser
from recipes.ctc.run_folder import RunFolder
from recipes.ctc.trainer import Precision, tensorboard, train
from recipes.ctc.vocabulary import Vocabulary
from recipes.librispeech_ctc.batches import Ahead, Batches
from recipes.librispeech_ctc.config import SETTINGS, Config, check_shareable, load_config, new_recogniser, open_front
from recipes.librispeech_ctc.corpus import DATA_HELP, find_utterances
from recipes.librispeech_ctc.examples import choose
from recipes.librispeech_ctc.units import CHARACTERS, units_of
from speechconv.memory import keep_freed_memory


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help=DATA_HELP)
    parser.add_argument("--output", type=Path, required=True, help="folder of the run")
    parser.add_argument("--front", default="logmel", help="preset, .toml, .safetensors or run (default: logmel)")
    parser.add_argument("--vocabulary", default=CHARACTERS, help="characters (default), or a file that prepare.py made")
    parser.add_argument("--settings", type=Path, default=SETTINGS, help="TOML with sizes, rates and batches")
    parser.add_argument("--steps", type=int, help="instead of the settings'")
    parser.add_argument("--seed", type=int, help="instead of the settings'")
    parser.add_argument("--precision", choices=get_args(Precision), default="float32", help="of the acoustic model")
    parser.add_argument("--device", help="cpu or cuda (default: cuda where there is one)")
    parser.add_argument("--readers", type=int, default=2, help="threads that read recordings ahead (default: 2)")
    args = parser.parse_args(arguments)
    run_command(lambda: _train(args), resumes=True)


def _train(args: argparse.Namespace) -> None:
    keep_freed_memory()
    config = load_config(args.settings, precision=args.precision, steps=args.steps, seed=args.seed)
    with started(args.device) as (processes, device):
        sources = Sources(args.front, args.vocabulary, args.data)
        train_run(config, sources, RunFolder(args.output), processes=processes, device=device, readers=args.readers)


@dataclass(frozen=True)
class Sources:
    """What a run is made of, besides its settings.

    Args:
        front: front-end, as `open_front` takes it.
        vocabulary: as `units_of` takes it.
        data: folders of the corpus.
    """

    front: str
    vocabulary: str
    data: Sequence[Path]


def train_run(
    config: Config, sources: Sources, run: RunFolder, *, processes: Processes, device: torch.device, readers: int
) -> Recogniser:
    """Train, or go on training, until the run's folder holds the trained recogniser, which is also returned.

    Args:
        config: settings.
        sources: front-end, vocabulary and data.
        run: the folder; the first process alone reads and writes it.
        processes: that share each batch.
        device: to train on.
        readers: threads that read recordings ahead, >= 1.

    Raises:
        FileNotFoundError, ValueError: sources at fault; the folder is another config's; another training is at work in
            it.
    """
    began = time.perf_counter()
    torch.manual_seed(config.training.seed)
    front = open_front(sources.front)
    if processes.size > 1:
        check_shareable(front)
    utterances = find_utterances(*sources.data)
    units = units_of(sources.vocabulary, (utterance.text for utterance in utterances))
    model = new_recogniser(front, config.acoustic, units.vocabulary)
    examples = choose(utterances, units, config.batches.longest, partial(config.acoustic.num_frames, front))
    record = config.record(front, units.vocabulary, examples)
    with contextlib.ExitStack() as held:
        resume = processes.from_first(lambda: _begin(run, record, units.vocabulary, held))
        batches = Batches(
            examples.chosen,
            config.batches,
            config.holes,
            seed=config.training.seed,
            most=config.training.batch,
            processes=processes,
        )
        if processes.first:
            print(f"{examples.summary()}; {config.training.steps} steps, {batches.per_epoch} an epoch", flush=True)
        model.load_state_dict(processes.from_first(model.state_dict))
        model.to(device)
        with (
            tensorboard(run.path) if processes.first else contextlib.nullcontext([]) as writers,
            Ahead(batches, readers, config.training.steps) as ahead,
        ):
            train(
                model,
                ahead,
                config.training,
                run,
                resume=resume,
                writers=writers,
                processes=processes,
                precision=config.precision,
            )
        model.cpu()
        if processes.first:
            model.front.save(run.front_end)
    if processes.first:
        print(f"{run.path}: trained in {time.perf_counter() - began:.0f} s; next: evaluate.py {run.path} --data ...")
    return model


def _begin(run: RunFolder, record: Mapping[str, Any], vocabulary: Vocabulary, held: contextlib.ExitStack) -> bool:
    """As `RunFolder.begin`, alone in the folder until `held` is left; another vocabulary is told in words, not in all
    its tokens."""
    held.enter_context(run.alone())
    if (run.path / "config.json").exists():
        vocabulary.check_same(run.config()["tokens"], str(run.path))
    return run.begin(record)


if __name__ == "__main__":
    main()
