"""A module that runs without numbers: torch's meta tensors have shapes alone; nothing is computed or allocated."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)


def meta_twin(module: Module) -> Module:
    """A copy with meta tensors for parameters, buffers and tensors that are plain attributes (as weight norm's of old);
    `module` is not touched, and its weights are not copied.

    >>> meta_twin(nn.Linear(1 << 20, 1 << 20, device="meta")).weight.shape
    torch.Size([1048576, 1048576])
    """
    memo: dict[int, torch.Tensor] = {}
    for parameter in module.parameters():
        empty = torch.empty_like(parameter, device="meta")
        memo[id(parameter)] = nn.Parameter(empty, requires_grad=parameter.requires_grad)
    loose = (value for part in module.modules() for value in vars(part).values() if isinstance(value, torch.Tensor))
    for tensor in (*module.buffers(), *loose):
        memo[id(tensor)] = torch.empty_like(tensor, device="meta")
    return copy.deepcopy(module, memo)


def meta_input(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """One input of that shape, a batch of 1."""
    return torch.empty(1, *shape, dtype=dtype, device="meta")


def cause(error: Exception) -> str:
    """Why a module did not run: the kind of error, and the first line of its message if it has one.

    >>> cause(RuntimeError("no kernel\\nfor this")), cause(NotImplementedError())
    ('RuntimeError: no kernel', 'NotImplementedError')
    """
    lines = str(error).strip().splitlines()
    return ": ".join((type(error).__name__, *lines[:1]))
