"""What is verified, and against what: filters in a file, in a module or in memory, as a bank."""

from __future__ import annotations

import dataclasses
import os
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from speechconv.checks import check_choice
from speechconv.conv import Conv1d
from speechconv.frontend.stft import ConvSTFT
from speechconv.layer import Layer
from speechconv.layout import WAVEFORM
from speechconv.pipeline import Pipeline
from speechconv.verification.filter_bank import FilterBank, Layout
from speechconv.verification.pairing import halves
from speechconv.verification.sources import SAMPLE_RATE, bank_of, in_double, parse_reference, read_bank

Weights = str | os.PathLike[str] | nn.Module | FilterBank | Tensor | NDArray[Any]
Reference = str | nn.Module | FilterBank | Tensor | NDArray[Any]


def find_subject(
    weights: Weights | Reference,
    source: str,
    tensor: str | None,
    layout: Layout | None,
    sample_rate: int | None,
    hop_length: int | None,
) -> FilterBank | Layer:
    """The bank, or the encoder that holds no single one."""
    if isinstance(weights, str | os.PathLike):
        return read_bank(weights, tensor, layout=layout, sample_rate=sample_rate, hop_length=hop_length)
    found = _in_memory(weights, source, tensor, layout)
    if isinstance(found, FilterBank):
        return dataclasses.replace(
            found,
            sample_rate=sample_rate or found.sample_rate,
            hop_length=hop_length or found.hop_length,
            sample_rate_assumed=found.sample_rate_assumed and sample_rate is None,
        )
    return found


def _in_memory(
    weights: nn.Module | FilterBank | Tensor | NDArray[Any], source: str, tensor: str | None, layout: Layout | None
) -> FilterBank | Layer:
    check_choice("layout", layout, (None, *get_args(Layout)))
    if isinstance(weights, Pipeline):
        return bank_of(weights, tensor, layout=layout, where=source)
    if tensor is not None:
        raise ValueError(f"tensor (={tensor!r}) chooses from a file or a pipeline; {name_of(weights)} holds one bank.")
    match weights:
        case FilterBank():
            rows = _checked(weights.rows, weights.name)
            real, imag = (rows, None) if weights.imag is None else rows.chunk(2)
            return dataclasses.replace(weights, real=real, imag=imag)
        case ConvSTFT():
            return _bank("kernel", weights.kernel, weights.hop_length, "stacked")
        case Conv1d() if weights.in_channels == weights.groups == weights.dilation == 1:
            return _bank("weight", weights.weight, weights.stride, layout)
        case nn.Conv1d() if weights.in_channels == weights.dilation[0] == 1:
            return _bank("weight", weights.weight, weights.stride[0], layout)
        case Layer() if weights.in_channels == WAVEFORM:
            return weights
        case torch.Tensor() | np.ndarray():
            return _bank("weights", torch.as_tensor(weights), None, layout)
    raise TypeError(
        "expected a file, a Pipeline, a layer that takes a waveform, a Conv1d of one channel, a FilterBank or a tensor "
        f"of filters, got {name_of(weights)}."
    )


def _bank(name: str, filters: Tensor, hop_length: int | None, layout: Layout | None) -> FilterBank:
    """Rows of real filters in that layout, or the one that they show; or complex ones."""
    if filters.ndim == 3 and filters.shape[1] == 1:
        filters = filters[:, 0]
    real, imag, layout = halves([_checked(filters, name)], name, layout)
    return FilterBank(name, real, imag, layout, SAMPLE_RATE, hop_length, sample_rate_assumed=True)


def _checked(rows: Tensor, name: str) -> Tensor:
    """As `in_double`; ValueError for another shape, NaN, or zeros alone."""
    if rows.ndim != 2 or rows.shape[1] < 2 or not len(rows):
        raise ValueError(
            f"{name} must be filters of shape (filters, taps) or (filters, 1, taps), taps >= 2, got "
            f"{tuple(rows.shape)}."
        )
    rows = in_double(rows)
    if not bool(rows.isfinite().all()):
        raise ValueError(f"{name} holds NaN or infinite weights, in {int((~rows.isfinite()).any(1).sum())} filters.")
    if not bool(rows.any()):
        raise ValueError(f"{name} holds only zeros.")
    return rows


def find_reference(given: Reference | None, weights: Weights, bank: FilterBank) -> tuple[FilterBank, str] | None:
    if isinstance(given, str):
        return parse_reference(given, bank)
    if given is not None:
        subject = find_subject(given, name_of(given), None, None, bank.sample_rate, None)
        if not isinstance(subject, FilterBank):
            raise ValueError(f"a reference must be one bank of filters, got {name_of(given)}.")
        return subject, name_of(given)
    stft = _started(weights, bank)
    return None if stft is None else (_initial(stft, bank), "the STFT that it started from")


def _started(weights: Weights, bank: FilterBank) -> ConvSTFT | None:
    """The learned ConvSTFT whose kernel the bank is."""
    path = bank.name.removesuffix(".kernel")
    modules = dict(weights.named_modules()) if isinstance(weights, Pipeline) else {}
    stft = weights if isinstance(weights, ConvSTFT) else modules.get(path)
    return stft if isinstance(stft, ConvSTFT) and stft.learn is not None else None


def _initial(stft: ConvSTFT, bank: FilterBank) -> FilterBank:
    real, imag = stft.initial_kernel.chunk(2)
    return FilterBank("the STFT that it started from", real, imag, "stacked", bank.sample_rate)


def name_of(weights: Any) -> str:
    return os.fspath(weights) if isinstance(weights, str | os.PathLike) else type(weights).__name__
