"""Constants that follow their module's dtype without losing digits: kept in float64, rounded once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from speechconv.layer import Layer


class ExactConstants(Layer):
    """A layer with float64 constants: a module made in float32 and cast by `.double()` holds exact float64 values.

    Constants are buffers outside the state dict: they follow from the constructor's arguments.
    """

    def __init__(self) -> None:
        super().__init__()
        self._exact: dict[str, Tensor] = {}

    def register_exact(self, name: str, value: Tensor) -> None:
        """Hold the float64 `value` as buffer `name`, rounded to the module's dtype."""
        self._exact[name] = value
        self.register_buffer(name, value.to(torch.get_default_dtype()), persistent=False)

    def exact(self, name: str) -> Tensor:
        """Constant `name`, rounded to the module's dtype."""
        return self.get_buffer(name)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> ExactConstants:
        """torch's one door for `.to`, `.double`, `.cuda`: round the constants anew behind it."""
        super()._apply(fn, recurse)
        for name, value in self._exact.items():
            rounded = getattr(self, name)
            setattr(self, name, value.to(rounded.device, rounded.dtype))
        return self
