"""The walk through modules of torch: one forward pass in inference on meta tensors tells the shapes, rules the rest.

A module with a rule is one row, and so is a layer of speechconv, with rows below it by `by_shape`. Any other module is
what it calls. What has no rule is unknown where it has parameters of its own, where its forward multiplies by itself,
and where it calls no other module and does more than work value by value.

Rules tell what one entry of a tensor's first axis costs, and that axis need not be the batch of 1: a module may fold
frames into it, or lay time first. So every call counts as often as its output has entries.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from speechconv.cost.by_shape import Signal, Storage, walk
from speechconv.cost.doubt import doubted, doubts, only_weight_hooks
from speechconv.cost.meta import cause, meta_input, meta_twin
from speechconv.cost.products import PRODUCTS
from speechconv.cost.rules import Rule, Shape, Work, rule_of
from speechconv.cost.spans import span_of
from speechconv.cost.stage import Stage, row_of, titled
from speechconv.geometry import Geometry
from speechconv.layer import Layer
from speechconv.layout import WAVEFORM, check_input


def trace(module: nn.Module, shape: Shape, dtype: torch.dtype) -> tuple[Stage, tuple[str, ...]]:
    """The row of `module` for one input of that shape, and what is unknown about it.

    Raises:
        ValueError: a module that does not run on such an input, or not on meta tensors.
    """
    try:
        twin, x = meta_twin(module).eval(), meta_input(shape, dtype)
        tracer = _Tracer(module, twin, x)
        with torch.no_grad(), tracer:
            twin(x)
    except Exception as error:
        raise ValueError(
            f"{type(module).__name__} does not run on a meta tensor of shape {(1, *shape)}: {cause(error)}"
        ) from error
    return tracer.root, tuple(tracer.unknown.values())


@dataclass
class _Call:
    """A module that is running, its rule, the rows of what it called so far, the most bytes that stood since it began,
    and if all that it did itself was value by value."""

    path: str
    module: nn.Module
    rule: Rule | None = None
    x: Tensor | None = None
    parts: list[Stage] = field(default_factory=list)
    peak: int = 0
    plain: bool = True


class _Tracer(TorchDispatchMode):
    """Watches a twin of a module run; a row is made when its module returns. Hooks that were there before run as part
    of what called their module.

    Attributes:
        geometries: of tensors that modules gave, as long as they stand as given.
        unknown: what has no rule, by path.
    """

    def __init__(self, module: nn.Module, twin: nn.Module, x: Tensor) -> None:
        super().__init__()
        self.geometries = WeakTensorKeyDictionary()
        self.geometries[x] = Geometry()
        self.unknown: dict[str, str] = {}
        self._module = module
        self._running = [_Call("", module)]
        weights = chain(*((*part.parameters(), *part.buffers()) for part in (module, twin)))
        self._own = {weight.untyped_storage()._cdata for weight in weights}
        self._memory: dict[int, tuple[StorageWeakRef, int]] = {}
        self._counted: set[StorageWeakRef] = set()
        self._remember(x)
        for path, part in _rows(module):
            double = twin.get_submodule(path)
            if isinstance(part, Layer):
                double.forward = partial(self._layer, path, part)
                continue
            double.register_forward_pre_hook(
                partial(self._enter, path, part), with_kwargs=True, prepend=only_weight_hooks(part)
            )
            double.register_forward_hook(self._leave, prepend=True)

    @property
    def root(self) -> Stage:
        """The row of the whole; hooks of its own run behind it."""
        root = self._running[0].parts[0]
        return replace(root, known=root.known and not self.unknown)

    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        call, operation = self._running[-1], func.overloadpacket
        if operation in PRODUCTS and call.rule is None:
            name = titled(call.path, type(call.module).__name__)
            self.unknown.setdefault(call.path, f"{operation.__name__} in {name}")
        call.plain &= func.is_view or torch.Tag.pointwise in func.tags
        y = func(*args, **(kwargs or {}))
        if func._schema.is_mutable and call.rule is None:
            self._overwritten(func, args, kwargs or {})
        for tensor in _tensors(y):
            self._remember(tensor)
        self._reach(self._standing())
        return y

    def _overwritten(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        """What an operation writes over with more than functions of its own values is no chain of modules any more."""
        if torch.Tag.pointwise in func.tags and len(list(_tensors((args, kwargs)))) == 1:
            return
        arguments = func._schema.arguments
        given = {argument.name: value for argument, value in zip(arguments, args, strict=False)} | kwargs
        writes = (given.get(argument.name) for argument in arguments if argument.is_write)
        for written in _tensors(list(writes)):
            for tensor in list(self.geometries):
                if _is_view(tensor, written):
                    del self.geometries[tensor]

    def _enter(self, path: str, module: nn.Module, _: nn.Module, args: Any, kwargs: Any) -> None:
        x, rule = next(_tensors((args, kwargs)), None), rule_of(module)
        self._running.append(_Call(path, module, rule, x, peak=self._standing()))
        if rule is None and next(module.parameters(recurse=False), None) is not None:
            self.unknown[path] = doubted(path, module)

    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:
        call, y = self._running.pop(), next(_tensors(output), None)
        self._running[-1].parts.append(self._of_parts(call, y) if call.parts else self._single(call, y))

    def _single(self, call: _Call, y: Tensor | None) -> Stage:
        """A module by its rule; one without calls no other."""
        if call.rule is None and not call.plain:
            self.unknown.setdefault(call.path, doubted(call.path, call.module))
        work = Work() if call.rule is None else call.rule(call.module, _shape(call.x), _shape(y))
        entries = len(y) if y is not None and y.ndim else 1
        if y is not None:
            self.geometries[y] = self._behind(call, y)
        return self._row(
            call,
            y,
            products=entries * work.products,
            transforms=entries * work.transforms,
            activation_bytes=self._written(call, y),
            known=call.path not in self.unknown,
        )

    def _of_parts(self, call: _Call, y: Tensor | None) -> Stage:
        """A module by what it calls, and by its output where a function made that, as a skip's sum."""
        parts = tuple(call.parts)
        return self._row(
            call,
            y,
            parts=parts,
            products=sum(part.products for part in parts),
            transforms=sum(part.transforms for part in parts),
            activation_bytes=sum(part.activation_bytes for part in parts) + self._written(call, y),
            known=call.path not in self.unknown and all(part.known for part in parts),
        )

    def _written(self, call: _Call, y: Tensor | None) -> int:
        """Bytes of an output; none where it is its module's input or was counted before."""
        if y is None or _is_view(y, call.x):
            return 0
        storage = StorageWeakRef(y.untyped_storage())
        if storage in self._counted:
            return 0
        self._counted.add(storage)
        return y.untyped_storage().nbytes()

    def _row(self, call: _Call, y: Tensor | None, **costs: Any) -> Stage:
        geometry = None if y is None else self.geometries.get(y)
        return row_of(call.module, self._name(call.path), call.path, _shown(y), geometry, peak_bytes=call.peak, **costs)

    def _layer(self, path: str, layer: Layer, x: Tensor, lengths: Tensor | None = None) -> Any:
        """Stands for `layer.forward`: a tensor of the shape that it gives, and its rows by `walk`."""
        check_input(x, layer.in_channels, type(layer).__name__)
        storage = Storage(x.untyped_storage().nbytes() // max(1, len(x)))
        channels = WAVEFORM if x.ndim == 2 else x.shape[2]
        signal = Signal(x.shape[1], channels, x.itemsize, storage, self.geometries.get(x))
        stage, out = walk(layer, signal, self._name(path), path)
        self.unknown |= doubts(stage, self._module)
        stage = _batched(stage, len(x))
        peak = self._standing() - len(x) * storage.bytes + stage.peak_bytes
        self._reach(peak)
        self._running[-1].parts.append(replace(stage, peak_bytes=peak))
        y = x.new_empty((len(x), *out.shape), dtype=_dtype(out, x.dtype))
        self.geometries[y] = out.geometry
        self._counted.add(StorageWeakRef(y.untyped_storage()))
        return y if lengths is None else (y, layer.num_frames(lengths))

    def _name(self, path: str) -> str:
        above = self._running[-1].path
        return path.removeprefix(f"{above}.") if above else path

    def _behind(self, call: _Call, y: Tensor) -> Geometry | None:
        """Geometry of what a module made of its input; None behind anything but a chain of modules."""
        before = None if call.x is None else self.geometries.get(call.x)
        own = span_of(call.module, _shape(call.x), _shape(y)) if call.rule else None
        try:
            return None if before is None or own is None else before.then(own)
        except ValueError:
            return None

    def _remember(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._own:
            self._memory[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())

    def _standing(self) -> int:
        """Bytes of the input and of all that was made of it, as far as they still stand."""
        self._memory = {key: kept for key, kept in self._memory.items() if not kept[0].expired()}
        return sum(size for _, size in self._memory.values())

    def _reach(self, size: int) -> None:
        """So many bytes stood at once."""
        for call in self._running:
            call.peak = max(call.peak, size)


def _rows(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Modules that a row may stand for, from above, each once: none below a module of torch with a rule."""
    closed: set[str] = set()
    for path, part in module.named_modules():
        hidden = bool(path) and path.rpartition(".")[0] in closed
        if hidden or (not isinstance(part, Layer) and rule_of(part) is not None):
            closed.add(path)
        if not hidden:
            yield path, part


def _tensors(given: Any) -> Iterator[Tensor]:
    """Tensors in nested tuples, lists and dicts, in order."""
    if isinstance(given, Tensor):
        yield given
    elif isinstance(given, dict):
        yield from _tensors(list(given.values()))
    elif isinstance(given, tuple | list):
        for item in given:
            yield from _tensors(item)


def _shape(tensor: Tensor | None) -> Shape:
    """Of one entry of the first axis."""
    return () if tensor is None else tuple(tensor.shape[1:])


def _shown(tensor: Tensor | None) -> Shape:
    """Without the batch of 1."""
    return _shape(tensor) if tensor is None or tensor.shape[:1] == (1,) else tuple(tensor.shape)


def _batched(stage: Stage, rows: int) -> Stage:
    """The row of a layer of speechconv, and those below it, for so many rows of a batch."""
    return replace(
        stage,
        shape=stage.shape if rows == 1 else (rows, *stage.shape),
        parts=tuple(_batched(part, rows) for part in stage.parts),
        **{cost: rows * getattr(stage, cost) for cost in ("products", "transforms", "activation_bytes", "peak_bytes")},
    )


def _is_view(y: Tensor, x: Tensor | None) -> bool:
    return x is not None and y.untyped_storage()._cdata == x.untyped_storage()._cdata


def _dtype(out: Signal, dtype: torch.dtype) -> torch.dtype:
    """Complex where two real values lie at every place."""
    places = torch.Size(out.shape).numel()
    return dtype.to_complex() if out.storage.bytes == 2 * places * out.itemsize else dtype
