"""What a module does for one input, by its shapes alone: a rule for each kind of module.

A rule holds for the kind that it is written for, and for subclasses that compute as it does: that override none of its
methods. What has none and does more than work value by value is unknown: `describe` lists it. `rule` takes your own:

    >>> class Gain(nn.Module):
    ...     def forward(self, x):
    ...         return 2 * x
    >>> @rule(Gain)
    ... def _(module, x, y):
    ...     return Work()
    >>> rule_of(Gain())(Gain(), (8, 4), (8, 4)).multiply_adds
    0
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from inspect import getattr_static
from types import FunctionType
from typing import Any

from torch import nn

Shape = tuple[int, ...]
"""Of a tensor, its batch axis left out. Each entry of that axis costs as much."""


@dataclass(frozen=True)
class Work:
    """What a module does for one input of batch 1.

    Attributes:
        products: multiply-adds of its convolutions and matrix products, as they run.
        transforms: multiply-adds that its FFTs stand for.
        tensors: values in each tensor that it writes, in order, its output last; () where the output is a view of the
            input. None: the output alone.
    """

    products: int = 0
    transforms: int = 0
    tensors: tuple[int, ...] | None = None

    @property
    def multiply_adds(self) -> int:
        return self.products + self.transforms


Rule = Callable[[Any, Shape, Shape], Work]
"""module, shape in, shape out -> Work"""

RULES: dict[type[nn.Module], Rule] = {}


def rule(*kinds: type[nn.Module]) -> Callable[[Rule], Rule]:
    """Decorator: the rule of these kinds of module."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(kinds, function))
        return function

    return register


ASIDE = {
    "_apply",
    "_check_input_dim",
    "_load_from_state_dict",
    "channels_after",
    "extra_repr",
    "num_frames",
    "plan",
    "reset_parameters",
    "reset_running_stats",
    "step",
}
"""Methods of layers that `forward` multiplies nothing in."""


def rule_of(module: nn.Module) -> Rule | None:
    """The rule of a module; None for one that computes as no kind that is known."""
    kind = kind_of(module)
    return RULES[kind] if kind and computes_as(module, kind) else None


def kind_of(module: nn.Module) -> type[nn.Module] | None:
    """The next class above a module that a rule was written for."""
    return next((kind for kind in type(module).__mro__ if kind in RULES), None)


def computes_as(module: nn.Module, kind: type[nn.Module]) -> bool:
    """True where a module replaces nothing of what `kind` computes by."""
    return not replaced(module, kind)


def replaced(module: nn.Module, kind: type[nn.Module]) -> list[str]:
    """Methods of `kind` that the module's class overrides, or the module itself.

    >>> relu = nn.ReLU()
    >>> relu.forward = nn.GELU().forward
    >>> replaced(relu, nn.ReLU)
    ['forward']
    """
    own = type(module)
    return [
        name
        for name in _methods(kind)
        if name in vars(module) or getattr_static(own, name) is not getattr_static(kind, name)
    ]


@cache
def _methods(kind: type[nn.Module]) -> list[str]:
    """Methods and properties that a class computes by, its own and those it inherits below `nn.Module`."""
    classes = [base for base in kind.__mro__ if base not in nn.Module.__mro__]
    members = {name: value for base in classes for name, value in vars(base).items()}
    return sorted(
        name
        for name, value in members.items()
        if isinstance(value, FunctionType | property | staticmethod | classmethod)
        and not name.startswith("__")
        and name not in ASIDE
    )
