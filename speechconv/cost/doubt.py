"""What a cost sheet does not know, by name, and why where its class does not tell."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from speechconv.cost.rules import kind_of, replaced
from speechconv.cost.stage import Stage, titled

WEIGHT_HOOKS = (BasePruningMethod, SpectralNorm, WeightNorm)
"""Hooks of torch's that make a module's weight, of weights alone."""


def hooked(module: nn.Module) -> bool:
    """True where hooks run before or behind `forward`, which may compute anything; those that make a weight aside."""
    return bool(module._forward_hooks) or not only_weight_hooks(module)


def only_weight_hooks(module: nn.Module) -> bool:
    """True where nothing runs before `forward` but what makes a weight.

    >>> only_weight_hooks(nn.utils.spectral_norm(nn.Linear(2, 2)))
    True
    """
    return all(isinstance(hook, WEIGHT_HOOKS) for hook in module._forward_pre_hooks.values())


def doubted(path: str, module: nn.Module) -> str:
    """A module that is unknown, by its path and class, and what sets it apart from a kind that is known.

    >>> class Twice(nn.ReLU):
    ...     def forward(self, x):
    ...         return super().forward(2 * x)
    >>> doubted("act", Twice()), doubted("rnn", nn.LSTM(1, 1))
    ("act (Twice), which replaces ReLU's forward", 'rnn (LSTM)')
    """
    title, kind = titled(path, type(module).__name__), kind_of(module)
    if kind and (names := replaced(module, kind)):
        return f"{title}, which replaces {kind.__name__}'s {', '.join(names)}"
    return f"{title}, which has forward hooks" if hooked(module) else title


def doubts(row: Stage, module: nn.Module) -> dict[str, str]:
    """What is unknown in a row and below it, by path; `module` is where paths begin."""
    parts = ((below, module.get_submodule(below.path)) for below in row.walk())
    return {
        below.path: doubted(below.path, part)
        for below, part in parts
        if not below.known and (not below.parts or hooked(part))
    }
