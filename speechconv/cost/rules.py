"""What a module does for one input, by its shapes alone: a rule for each kind of module.

A rule holds for the kind that it is written for, and for subclasses that compute as it does. What has none and does
more than work value by value is unknown: `describe` lists it. `rule` takes your own:

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


def rule_of(module: nn.Module) -> Rule | None:
    """The rule of a module; None for one that computes as no kind that is known."""
    own = type(module)
    kind = next((kind for kind in own.__mro__ if kind in RULES), None)
    return RULES[kind] if kind and computes_as(own, kind) else None


def computes_as(own: type[nn.Module], kind: type[nn.Module]) -> bool:
    """True where the class `own` overrides nothing of what `kind` computes by."""
    return all(getattr(own, name, None) is getattr(kind, name, None) for name in ("forward", "offline", "valid"))
