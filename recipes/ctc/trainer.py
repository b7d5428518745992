"""Training with CTC: steps that follow from the seed alone, so that a killed run goes on as if nothing had happened.

loss = sum over the batch of -log P(tokens | wav)  /  tokens of the batch

Several processes may share each batch (`processes`), and the acoustic model may run in bfloat16.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recipes.ctc.processes import Processes
from recipes.ctc.recogniser import Mask, Recogniser
from recipes.ctc.run_folder import RunFolder
from recipes.ctc.vocabulary import BLANK
from speechconv.checks import check_count, check_number

Precision = Literal["float32", "bfloat16"]
ALONE = Processes()


@dataclass(frozen=True)
class Batch:
    """Utterances and what is said in them.

    Args:
        wav: (batch, samples).
        lengths: (batch,) valid samples.
        tokens: of all utterances, one after the other.
        counts: (batch,) tokens of each.
        mask: of the front-end's frames, SpecAugment's; None: none.
    """

    wav: Tensor
    lengths: Tensor
    tokens: Tensor
    counts: Tensor
    mask: Mask | None = None

    def to(self, device: torch.device) -> Batch:
        tensors = {name: getattr(self, name).to(device) for name in ("wav", "lengths", "tokens", "counts")}
        return replace(self, **tensors)


@dataclass(frozen=True)
class Training:
    """How to train.

    Args:
        steps: optimiser steps.
        learning_rate: its largest value; it rises for `warmup` steps and falls along half a cosine.
        warmup: steps.
        weight_decay: AdamW's, of matrices and kernels.
        front_rate: factor of the learning rate for the front-end's own weights.
        clip: largest norm of the gradient.
        batch: utterances of a step; at most, where their seconds are limited too.
        seed: of everything that is random.
        log_every, save_every: steps.

    Raises:
        ValueError: a count below 1, or a number outside its range.
    """

    steps: int = 1000
    learning_rate: float = 3e-3
    warmup: int = 100
    weight_decay: float = 1e-2
    front_rate: float = 1.0
    clip: float = 5.0
    batch: int = 16
    seed: int = 0
    log_every: int = 50
    save_every: int = 200

    def __post_init__(self) -> None:
        for count in ("steps", "batch", "log_every", "save_every"):
            check_count(count, getattr(self, count))
        for count in ("warmup", "seed"):
            check_count(count, getattr(self, count), 0)
        for number in ("learning_rate", "clip"):
            check_number(number, getattr(self, number), above=0)
        for number in ("weight_decay", "front_rate"):
            check_number(number, getattr(self, number), least=0)


class Writer(Protocol):
    """What TensorBoard's SummaryWriter has."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None: ...


def ctc_loss(log_probs: Tensor, frames: Tensor, batch: Batch) -> Tensor:
    """Summed over the batch; an utterance of more tokens than its frames can tell counts 0."""
    return F.ctc_loss(
        log_probs.transpose(0, 1),
        batch.tokens,
        frames,
        batch.counts,
        blank=BLANK,
        reduction="sum",
        zero_infinity=True,
    )


def train(
    model: Recogniser,
    batch_of: Callable[[int], Batch],
    settings: Training,
    run: RunFolder,
    *,
    resume: bool,
    writers: Iterable[Writer] = (),
    processes: Processes = ALONE,
    precision: Precision = "float32",
) -> None:
    """Train `model`, from the run's checkpoint where there is one.

    Args:
        model: as it begins, alike in all processes, on the device to train on.
        batch_of: the batch of each step, which must follow from its number alone; of several processes, this one's
            share of it, which may be empty.
        settings: how.
        run: where checkpoints and the log go, by the first process.
        resume: start from the run's checkpoint.
        writers: get loss and learning rate too.
        processes: that share each batch.
        precision: of the acoustic model's products and convolutions; weights, front-end and loss stay float32.

    Raises:
        RuntimeError: the loss is no number any more.
    """
    device = next(model.parameters()).device
    optimiser = torch.optim.AdamW(groups(model, settings), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate(step, settings))
    first = _restore(model, optimiser, schedule, processes.from_first(run.checkpoint)) if resume else 0
    if processes.first:
        run.cut_log(first)
    model.train()
    total, tokens, started = 0.0, 0, time.perf_counter()
    for step in range(first, settings.steps):
        # dropout's seed: it must not depend on where the run began, and differ between processes
        torch.manual_seed((settings.seed << 32) + step * processes.size + processes.rank)
        batch = batch_of(step).to(device)
        count = processes.sum(batch.counts.sum())
        optimiser.zero_grad()
        loss = processes.sum(_backward(model, batch, count, precision))
        processes.sum_gradients(model.parameters())
        nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        optimiser.step()
        schedule.step()
        total, tokens = total + float(loss), tokens + int(count)
        if not math.isfinite(total):
            raise RuntimeError(f"the loss is {total} in step {step}; lower the learning rate.")
        done = step + 1
        if done % settings.log_every == 0 or done == settings.steps:
            if processes.first:
                seconds = time.perf_counter() - started
                run.log({"step": done, "loss": total / tokens, "seconds": round(seconds, 3)})
            for writer in writers:
                writer.add_scalar("loss", total / tokens, done)
                writer.add_scalar("learning_rate", float(schedule.get_last_lr()[0]), done)
            total, tokens = 0.0, 0
        if processes.first and (done % settings.save_every == 0 or done == settings.steps):
            _save(model, optimiser, schedule, run, done)
    model.eval()


def _backward(model: Recogniser, batch: Batch, count: Tensor, precision: Precision) -> Tensor:
    """The summed loss of a share; the gradients of it / count are left in the parameters."""
    if not len(batch.counts):
        return torch.zeros((), device=count.device)
    with torch.autocast(count.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        log_probs, frames = model(batch.wav, batch.lengths, batch.mask)
    loss = ctc_loss(log_probs, frames, batch)
    (loss / count).backward()
    return loss.detach()


@contextlib.contextmanager
def tensorboard(folder: Path) -> Iterator[list[Writer]]:
    """TensorBoard's writer, where that is installed; else none."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        yield []
        return
    with SummaryWriter(str(folder)) as writer:
        yield [writer]


def rate(step: int, settings: Training) -> float:
    """Share of the learning rate that holds in `step`.

    >>> settings = Training(steps=300, warmup=100)
    >>> rate(0, settings), rate(99, settings), round(rate(200, settings), 3), round(rate(299, settings), 4)
    (0.01, 1.0, 0.5, 0.0001)
    """
    if step < settings.warmup:
        return (step + 1) / settings.warmup
    return 0.5 + 0.5 * math.cos(math.pi * (step - settings.warmup) / max(1, settings.steps - settings.warmup))


def groups(model: Recogniser, settings: Training) -> list[dict[str, Any]]:
    """Parameters with their rates; biases and gains do not decay."""
    kinds: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            kinds.setdefault((name.startswith("front."), parameter.dim() > 1), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": settings.learning_rate * (settings.front_rate if front else 1.0),
            "weight_decay": settings.weight_decay if matrix else 0.0,
        }
        for (front, matrix), parameters in kinds.items()
    ]


def _save(model: nn.Module, optimiser: Any, schedule: Any, run: RunFolder, step: int) -> None:
    state = {"model": model, "optimiser": optimiser, "schedule": schedule}
    run.save_checkpoint({"step": step} | {name: part.state_dict() for name, part in state.items()})


def _restore(model: nn.Module, optimiser: Any, schedule: Any, saved: Mapping[str, Any]) -> int:
    model.load_state_dict(saved["model"])
    optimiser.load_state_dict(saved["optimiser"])
    schedule.load_state_dict(saved["schedule"])
    return saved["step"]
