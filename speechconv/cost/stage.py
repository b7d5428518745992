"""One row of a cost sheet: a layer, and what it is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from speechconv.cost.rules import Shape
from speechconv.geometry import Geometry


@dataclass(frozen=True)
class Stage:
    """One row: a layer, and the chain up to and including it. What it costs holds for it and all its parts.

    Attributes:
        name: the layer's name in what holds it.
        kind: its class.
        shape: of its output for the described input, batch axis left out: (frames, channels). What a module of torch
            folds into the batch axis, or lays before it, is shown with it.
        parameters: of this layer alone, biases included.
        geometry: of the chain so far, in input samples; of pictures along the first axis behind the channels. None
            where the chain is not known.
        parts: the layers that it is made of, in order; what it costs includes them.
        path: its name in the whole module, as in `named_modules`.
        weights: parameters of two axes and more: matrices and filters, without biases and the gains of norms.
        products, transforms: multiply-adds for the described input; transforms are those that stand for FFTs.
        activation_bytes: of all outputs of its layers, the described input in.
        peak_bytes: most bytes that stand in memory at once while it runs.
        known: False where it, or one of its parts, is a module without a rule or with hooks: its multiply-adds are "at
            least".
        multiply_adds_per_second: what each further second of audio costs; None without a sample rate.
        training_bytes: what autograd keeps for the backward pass; None where that could not be told.
        state_bytes: what a live stream of it remembers; None where the module cannot stream, or is torch's.
    """

    name: str
    kind: str
    shape: Shape
    parameters: int
    geometry: Geometry | None
    parts: tuple[Stage, ...] = ()
    path: str = ""
    weights: int = 0
    products: int = 0
    transforms: int = 0
    activation_bytes: int = 0
    peak_bytes: int = 0
    known: bool = True
    multiply_adds_per_second: float | None = None
    training_bytes: int | None = None
    state_bytes: int | None = None

    @property
    def multiply_adds(self) -> int:
        """For the described input."""
        return self.products + self.transforms

    def walk(self) -> Iterator[Stage]:
        """This row and all below it, from above."""
        yield self
        for part in self.parts:
            yield from part.walk()


def row_of(module: nn.Module, name: str, path: str, shape: Shape, geometry: Geometry | None, **costs: Any) -> Stage:
    """The row of a module, with its class and parameters; `costs` are further attributes of `Stage`."""
    parameters = list(module.parameters())
    return Stage(
        name,
        type(module).__name__,
        shape,
        sum(parameter.numel() for parameter in parameters),
        geometry,
        path=path,
        weights=sum(parameter.numel() for parameter in parameters if parameter.ndim > 1),
        **costs,
    )


def titled(path: str, kind: str) -> str:
    """A module by its path and class.

    >>> titled("encoder.rnn", "LSTM"), titled("", "LSTM")
    ('encoder.rnn (LSTM)', 'LSTM')
    """
    return f"{path} ({kind})" if path else kind
