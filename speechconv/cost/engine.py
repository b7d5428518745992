"""describe: the walk, the rates, the memory of training and of a stream, put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from speechconv.checks import check_count, check_number
from speechconv.combine import Sequential
from speechconv.cost import family_rules, torch_rules  # noqa: F401 - importing them registers their rules
from speechconv.cost.by_shape import input_signal, walk
from speechconv.cost.by_trace import trace
from speechconv.cost.description import GFLOPS, Description
from speechconv.cost.doubt import doubts
from speechconv.cost.rules import Shape
from speechconv.cost.stage import Stage, titled
from speechconv.cost.streaming import state_sizes
from speechconv.cost.training import kept_for_backward
from speechconv.layer import Layer, placement
from speechconv.layers import pcen
from speechconv.layout import WAVEFORM, axes
from speechconv.plan import NotStreamable

DAY = 86400
"""Seconds after which an input is long: what pads up to a length, or warms up, has done so."""


def describe(
    module: nn.Module,
    input_shape: int | tuple[int, ...] | None = None,
    *,
    sample_rate: int | None = None,
    gflops: float = GFLOPS,
) -> Description:
    """What `module` is made of and what that costs, layer by layer and in all.

    Args:
        module: a pipeline, a layer, or a module of torch; its weights may lie on the meta device.
        input_shape: of the input that it is described for, batch axis left out: (samples,), (frames, channels),
            (channels, height, width). An int is samples, or frames. None: one second of a waveform.
        sample_rate: Hz of the waveform that a layer takes; a pipeline has its own.
        gflops: floating-point operations a second, in 10^9, of the device for the real-time factor, > 0.

    Raises:
        TypeError: no module, or a scripted one.
        ValueError: an input shape that is missing or that the module does not take; a sample rate of frames, or another
            one than the pipeline's; a lazy module that has not run yet; a module of torch that does not run on meta
            tensors.

    Example:
        >>> import speechconv as sc
        >>> sheet = describe(sc.FeatureEncoder(norm="layer"), sample_rate=16000)
        >>> g = sheet.total.geometry
        >>> g.receptive_field, g.stride, sheet.total.multiply_adds_per_second
        (400, 320, 2454323200.0)
        >>> describe(nn.Conv2d(3, 96, 11, stride=4), (3, 227, 227)).total.shape
        (96, 55, 55)
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"expected a module, got {type(module).__name__}.")
    _check_parts(module)
    check_number("gflops", gflops, above=0)
    if isinstance(module, Layer):
        return _describe_layer(module, input_shape, sample_rate, gflops)
    if sample_rate is not None:
        raise ValueError(
            f"{type(module).__name__} is no speechconv layer, so it is described per input: no sample_rate."
        )
    return _describe_torch(module, input_shape, gflops)


def _check_parts(module: nn.Module) -> None:
    """Raise where a part has no shapes yet, or no Python that could be watched."""
    for path, part in module.named_modules():
        name = titled(path, type(part).__name__)
        if any(map(is_lazy, (*part.parameters(recurse=False), *part.buffers(recurse=False)))):
            raise ValueError(
                f"{name} is lazy and has no shapes yet; run the module once on an input, then describe it."
            )
        if isinstance(part, torch.jit.ScriptModule):
            raise TypeError(f"{name} is scripted or traced; describe the module that it was made from.")


def _describe_layer(
    layer: Layer, input_shape: int | tuple[int, ...] | None, sample_rate: int | None, gflops: float
) -> Description:
    rate = _sample_rate(layer, sample_rate)
    shape = _layer_shape(layer, input_shape, rate)
    channels = shape[1] if len(shape) == 2 else WAVEFORM
    dtype = _dtype(layer)
    root, _ = walk(layer, input_signal(shape[0], channels, dtype.itemsize))
    unknown = tuple(doubts(root, layer).values())
    if rate is not None:
        root = _with_rates(root, *_long_after(layer, rate, channels, dtype.itemsize))
    root, training_obstacle = _with_training(root, layer, shape, dtype)
    root, obstacle = _with_state(root, layer, channels, dtype)
    stages = root.parts if isinstance(layer, Sequential) else (root,)
    return Description(shape, shape[0], rate, dtype, gflops, stages, root, unknown, obstacle, training_obstacle)


def _describe_torch(module: nn.Module, input_shape: int | tuple[int, ...] | None, gflops: float) -> Description:
    shape = _shape(input_shape)
    if not shape:
        raise ValueError(f"{type(module).__name__} needs input_shape, batch axis left out, such as (3, 224, 224).")
    dtype = _dtype(module)
    root, unknown = trace(module, shape, dtype)
    root, training_obstacle = _with_training(root, module, shape, dtype)
    return Description(
        shape, None, None, dtype, gflops, root.parts or (root,), root, unknown, training_obstacle=training_obstacle
    )


def _sample_rate(layer: Layer, given: int | None) -> int | None:
    """Hz of the waveform that `layer` takes; a mel's is of the frames' own past."""
    if layer.in_channels != WAVEFORM:
        if given is not None:
            raise ValueError(f"{type(layer).__name__} takes frames, so a sample_rate (={given}) says nothing.")
        return None
    own = getattr(layer, "sample_rate", None)
    if given is not None and own not in (None, check_count("sample_rate", given)):
        raise ValueError(f"sample_rate (={given}) must be the pipeline's own, {own} Hz, or left out.")
    return own or given


def _layer_shape(layer: Layer, input_shape: int | tuple[int, ...] | None, rate: int | None) -> Shape:
    kind = type(layer).__name__
    if input_shape is None and rate is None:
        hint = " or sample_rate" if layer.in_channels == WAVEFORM else ""
        raise ValueError(f"{kind} has no sample rate; pass input_shape{hint}.")
    shape = _shape(rate if input_shape is None else input_shape)
    if isinstance(input_shape, int) and layer.in_channels is None:
        raise ValueError(f"{kind} takes any number of channels; pass input_shape=(frames, channels).")
    if isinstance(input_shape, tuple) and len(shape) not in (1, 2):
        raise ValueError(f"input_shape (={input_shape}) must be (samples,) or (frames, channels).")
    if len(shape) == 1:
        return shape if isinstance(input_shape, tuple) else axes(shape[0], layer.in_channels or WAVEFORM)
    return shape


def _shape(given: int | tuple[int, ...] | None) -> Shape:
    """An input's shape as a tuple of counts."""
    if isinstance(given, list):
        raise ValueError(f"input_shape (={given}) must be a tuple, or an int.")
    sizes = () if given is None else given if isinstance(given, tuple) else (given,)
    return tuple(check_count("input_shape", size, 0) for size in sizes)


def _dtype(module: nn.Module) -> torch.dtype:
    own = placement(module)
    return own[0] if own else torch.get_default_dtype()


def _long_after(layer: Layer, rate: int, channels: int, itemsize: int) -> tuple[Stage, Stage, int]:
    """The rows of a very long input, those of one longer by whole seconds, and how many: so many that every layer gets
    whole blocks of frames more, at any sample rate."""
    seconds = layer.geometry.stride * pcen.BLOCK
    begin = DAY * rate
    early, late = (
        walk(layer, input_signal(samples, channels, itemsize))[0] for samples in (begin, begin + seconds * rate)
    )
    return early, late, seconds


def _with_rates(stage: Stage, early: Stage, late: Stage, seconds: int) -> Stage:
    """`stage` with what each further second costs."""
    parts = zip(stage.parts, early.parts, late.parts, strict=True)
    return replace(
        stage,
        multiply_adds_per_second=float(Fraction(late.multiply_adds - early.multiply_adds, seconds)),
        parts=tuple(_with_rates(*rows, seconds) for rows in parts),
    )


def _with_training(root: Stage, module: nn.Module, shape: Shape, dtype: torch.dtype) -> tuple[Stage, str | None]:
    try:
        kept = kept_for_backward(module, shape, dtype)
    except ValueError as error:
        return root, str(error)
    return _spread(root, "training_bytes", kept), None


def _with_state(root: Stage, layer: Layer, channels: int, dtype: torch.dtype) -> tuple[Stage, str | None]:
    try:
        sizes = state_sizes(layer, channels, dtype)
    except (NotStreamable, ValueError) as error:  # ValueError: frozen statistics that were not given yet
        return root, str(error)
    return _spread(root, "state_bytes", sizes), None


def _spread(stage: Stage, field: str, sizes: Mapping[str, int]) -> Stage:
    """`stage` with the sum of all sizes named by its path or by one below it, in that field; its parts likewise."""
    own = sum(size for name, size in sizes.items() if not stage.path or f"{name}.".startswith(f"{stage.path}."))
    parts = tuple(_spread(part, field, sizes) for part in stage.parts)
    return replace(stage, **{field: own}, parts=parts)
