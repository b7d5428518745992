"""Processes that train one model together, each on its share of every batch; torchrun starts them.

    L = sum over the batch of -log P(tokens | wav)        N = tokens of the batch
    dL/dw / N = sum over ranks r of  d(L_r / N)/dw        L_r: of the share of rank r

N is summed over the ranks before the gradient is taken, so that the sum over ranks is one process's gradient, whatever
the shares. DistributedDataParallel takes the mean over ranks instead, which would have to be undone (times the number
of ranks), and wants every rank to run forward; here a share may be empty, and a model's weights keep their names.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

Made = TypeVar("Made")


@dataclass(frozen=True)
class Processes:
    """The processes of a training as one of them sees them.

    Args:
        rank: of this one.
        size: how many there are.

    Example:
        >>> alone = Processes()
        >>> alone.sum(torch.tensor(3)), alone.from_first(lambda: "made here")
        (tensor(3), 'made here')
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this one writes files and messages."""
        return self.rank == 0

    def sum(self, value: Tensor) -> Tensor:
        """Of everybody's `value`."""
        if self.size > 1:
            value = value.clone()
            dist.all_reduce(value)
        return value

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give every process the sum of everybody's gradients, in one message; one without a gradient adds nothing."""
        if self.size == 1:
            return
        learning = [parameter for parameter in parameters if parameter.requires_grad]
        parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in learning]
        total = torch.cat([part.flatten() for part in parts])
        dist.all_reduce(total)
        for parameter, part in zip(learning, total.split([p.numel() for p in learning]), strict=True):
            parameter.grad = part.view_as(parameter)

    def from_first(self, make: Callable[[], Made]) -> Made:
        """What `make` gives in the first process, for all of them."""
        if self.size == 1:
            return make()
        made = [make() if self.first else None]
        dist.broadcast_object_list(made, device=torch.device("cpu"))
        return made[0]  # pyright: ignore[reportReturnType] - the first process put it there


@contextlib.contextmanager
def started(device: str | None = None) -> Iterator[tuple[Processes, torch.device]]:
    """The processes that torchrun started, or this one alone; and this one's own device.

    Args:
        device: as `own_device` takes it.

    Raises:
        ValueError: a device that is not there.
    """
    own = own_device(device)
    if not dist.is_torchelastic_launched():
        yield Processes(), own
        return
    dist.init_process_group("cpu:gloo,cuda:nccl" if own.type == "cuda" else "gloo")
    try:
        yield Processes(dist.get_rank(), dist.get_world_size()), own
    finally:
        dist.destroy_process_group()


def own_device(name: str | None = None) -> torch.device:
    """The device by its name.

    Args:
        name: "cpu", or "cuda": in each of torchrun's processes a GPU of its own; or one GPU, such as "cuda:1"; None:
            cuda where there is one.

    Raises:
        ValueError: a device that is not there.
    """
    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"device (={name!r}) must be cpu, cuda, or one GPU such as cuda:1.") from None
    if device.type == "cuda":
        there = torch.cuda.device_count()
        number = int(os.environ.get("LOCAL_RANK", "0")) if device.index is None else device.index
        if number >= there:
            raise ValueError(f"device (={name!r}): GPU {number} is wanted, this machine has {there}.")
        device = torch.device("cuda", number)
        torch.cuda.set_device(device)
    return device
