"""What training keeps in memory: the tensors that autograd saves for the backward pass, as torch itself tells them.

One forward pass in training mode on meta tensors, so that nothing is computed. It saves what a pass on a device saves
wherever that runs the same operations; attention and recurrences have kernels for each device, which may keep more or
less. A tensor that several layers save counts once, at the first; parameters and buffers do not count. A layer before
the first trainable parameter saves nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from speechconv.cost.meta import cause, meta_input, meta_twin
from speechconv.cost.rules import Shape
from speechconv.layer import Layer


def kept_for_backward(module: nn.Module, shape: Shape, dtype: torch.dtype) -> Counter[str]:
    """Bytes that each module saves for one input of that shape, by its name in `named_modules`.

    Raises:
        ValueError: a module that cannot run in training on one meta tensor; says why.
    """
    if not any(parameter.requires_grad for parameter in module.parameters()):
        return Counter()
    try:
        twin = meta_twin(module).train()
        ledger = _Ledger(twin)
        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(ledger.pack, lambda saved: saved):
            twin(meta_input(shape, dtype))
    except Exception as error:
        raise ValueError(cause(error)) from error
    return ledger.bytes


class _Ledger:
    """Who saved which memory first, while a module runs."""

    def __init__(self, twin: nn.Module) -> None:
        self.bytes: Counter[str] = Counter()
        self._own = {t.untyped_storage()._cdata for t in (*twin.parameters(), *twin.buffers())}
        self._saved: dict[int, torch.UntypedStorage] = {}
        self._running = [""]
        for path, part in twin.named_modules():
            if isinstance(part, Layer):
                vars(part)["offline"] = partial(self._run, path, part.offline)
            else:
                part.register_forward_pre_hook(partial(self._enter, path))
                part.register_forward_hook(self._leave)

    def pack(self, saved: Tensor) -> Tensor:
        storage = saved.untyped_storage()
        if storage._cdata not in self._own and storage._cdata not in self._saved:
            self._saved[storage._cdata] = storage
            self.bytes[self._running[-1]] += storage.nbytes()
        return saved

    def _run(self, path: str, offline: Callable[..., Tensor], *inputs: Any) -> Tensor:
        self._running.append(path)
        y = offline(*inputs)
        self._running.pop()
        return y

    def _enter(self, path: str, *_: Any) -> None:
        self._running.append(path)

    def _leave(self, *_: Any) -> None:
        self._running.pop()
