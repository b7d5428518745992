"""What `verify` looks at: a bank out of a file or a pipeline, and what it is compared with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from speechconv.adapters.names import FIRST
from speechconv.checks import check_known
from speechconv.frontend.stft import ConvSTFT
from speechconv.pipeline import Pipeline, open_pipeline
from speechconv.pipeline_source import IN_FOLDER
from speechconv.presets import preset_names
from speechconv.verification.candidates import bank_shape, choose_tensor, listing, named_tensor
from speechconv.verification.filter_bank import FilterBank, Layout
from speechconv.verification.pairing import halves
from speechconv.verification.spectra import turning_sign
from speechconv.verification.weight_file import WeightFile, read_weight_file, tensor_names

SAMPLE_RATE = 16000
"""Hz, where neither the file nor its reader tells."""

CHECKPOINTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")
"""Kinds of file in which an encoder's checkpoint comes."""

STFT_KEYS = ("n_fft", "hop_length", "win_length", "window", "periodic")


def read_bank(
    path: str | os.PathLike[str],
    tensor: str | None = None,
    *,
    layout: Layout | None = None,
    sample_rate: int | None = None,
    hop_length: int | None = None,
) -> FilterBank | Pipeline:
    """The bank of filters in a file, or the Pipeline in it whose filters are no single bank.

    Args:
        path: .safetensors (a saved pipeline too), .pt, .pth, .bin, .ckpt, TorchScript or .onnx; a preset, .toml or run.
        tensor: name of the filters in the file, or "REAL,IMAG" for two tensors; None: the one that looks like it.
        layout: "stacked", "interleaved", "separate" or "real"; None: by evidence.
        sample_rate: Hz; None: the pipeline's, else 16000.
        hop_length: samples; None: the pipeline's, or the stride of the ONNX convolution, else unknown.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an unreadable file; no filters, several candidates, an unknown name; NaN, zeros or a wrong shape.
        ImportError: an ONNX file without the package onnx.

    >>> bank = read_bank("logmel")
    >>> bank.name, bank.layout, bank.real.shape, bank.hop_length
    ('stft.kernel', 'stacked', torch.Size([201, 400]), 160)
    """
    if layout is not None and layout not in get_args(Layout):
        raise ValueError(f"layout (={layout!r}) must be one of {', '.join(get_args(Layout))}.")
    pipe = pipeline_in(path)
    if pipe is not None:
        bank = bank_of(pipe, tensor, layout=layout, where=os.fspath(path))
    else:
        file = read_weight_file(path)
        bank = _bank(file, tensor or choose_tensor(file.tensors, file.where), layout)
    if isinstance(bank, Pipeline):
        return bank
    return replace(
        bank,
        sample_rate=bank.sample_rate if sample_rate is None else sample_rate,
        sample_rate_assumed=bank.sample_rate_assumed and sample_rate is None,
        hop_length=bank.hop_length if hop_length is None else hop_length,
    )


def pipeline_in(path: str | os.PathLike[str]) -> Pipeline | None:
    """The pipeline that a preset's name, a .toml, a saved file or a training run's folder stands for; None for other
    files and folders.

    Raises:
        ValueError: a name without suffix that is neither file nor preset; a .toml or saved file with a fault in it.
        FileNotFoundError: no such .toml.
    """
    name = os.fspath(path)
    if (Path(name) / IN_FOLDER).is_file() and name not in preset_names():
        return Pipeline.load(Path(name) / IN_FOLDER)
    if name in preset_names() or name.endswith(".toml") or not (Path(name).suffix or Path(name).exists()):
        return open_pipeline(name)
    if name.endswith(".safetensors") and os.path.isfile(name) and os.path.getsize(name):
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(name, framework="pt") as file:
                return Pipeline.load(name) if "pipeline" in (file.metadata() or {}) else None
        except SafetensorError:
            return None  # read_weight_file says why
    return None


def bank_of(
    pipe: Pipeline, tensor: str | None = None, *, layout: Layout | None = None, where: str = "the pipeline"
) -> FilterBank | Pipeline:
    """As `read_bank`, of a pipeline in memory; `where` names it in messages."""
    file = _pipeline_file(pipe, where)
    if tensor is None and not file.strides:
        return pipe
    bank = _bank(file, tensor or _only_bank(file), layout)
    return replace(bank, sample_rate=pipe.sample_rate, sample_rate_assumed=False)


def parse_reference(text: str, bank: FilterBank) -> tuple[FilterBank, str]:
    """The bank to compare with, and what it is in words.

    Args:
        text: "stft:n_fft=400,hop_length=160,win_length=400,window=hann,periodic=true", each key as ConvSTFT's; n_fft
            is the bank's taps and hop_length the bank's hop unless given; it turns as the bank does, e^(-j ...) or
            e^(j ...). Or a file, a preset or .toml, read like weights.
        bank: what will be compared with it.

    Raises:
        ValueError: an unknown key or a value that ConvSTFT refuses; a file that holds no single bank.

    >>> bank = read_bank("logmel")
    >>> parse_reference("stft:window=hamming", bank)[1]
    'STFT: n_fft 400, hop_length 160, window hamming'
    """
    if text.partition(":")[0] != "stft":
        reference = read_bank(text, sample_rate=bank.sample_rate)
        if isinstance(reference, Pipeline):
            raise ValueError(f"{text} holds an encoder of several layers; a reference must be one bank of filters.")
        return reference, f"{reference.name} of {text}"
    settings: dict[str, Any] = {"n_fft": bank.real.shape[1]}
    settings |= {} if bank.hop_length is None else {"hop_length": bank.hop_length}
    settings |= _stft_settings(text)
    n_fft = settings.pop("n_fft")
    try:
        stft = ConvSTFT(n_fft, **settings).double()
    except ValueError as error:
        raise ValueError(f"reference {text}: {error}") from None
    real, imag = stft.kernel.chunk(2)
    words = "STFT: " + ", ".join(f"{key} {value}" for key, value in ({"n_fft": n_fft} | settings).items())
    if bank.imag is not None and turning_sign(bank.real, bank.imag) > 0:
        imag, words = -imag, f"{words}, conjugated"
    return FilterBank("stft", real, imag, "stacked", bank.sample_rate, settings.get("hop_length")), words


def _stft_settings(text: str) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for part in filter(None, text.partition(":")[2].split(",")):
        key, equals, value = (word.strip() for word in part.partition("="))
        check_known([key], STFT_KEYS, "key", f"reference {text!r}")
        if not (equals and value):
            raise ValueError(f"reference {text!r}: expected {key}=VALUE, got {part!r}.")
        settings[key] = _stft_value(key, value, text)
    return settings


def _stft_value(key: str, value: str, text: str) -> str | bool | int:
    if key == "window":
        return value
    if key == "periodic":
        if value not in ("true", "false"):
            raise ValueError(f"reference {text!r}: periodic must be true or false, got {value!r}.")
        return value == "true"
    if not value.isdecimal():
        raise ValueError(f"reference {text!r}: {key} must be a number of samples, got {value!r}.")
    return int(value)


def _pipeline_file(pipe: Pipeline, where: str) -> WeightFile:
    """Its tensors, and the kernel of every ConvSTFT with its hop; how that is laid out need not be guessed."""
    tensors: dict[str, Tensor] = dict(pipe.state_dict())
    strides: dict[str, int] = {}
    layouts: dict[str, Layout] = {}
    for name, layer in pipe.named_modules():
        if isinstance(layer, ConvSTFT):
            tensors[f"{name}.kernel"] = layer.kernel.detach()
            strides[f"{name}.kernel"] = layer.hop_length
            layouts[f"{name}.kernel"] = "stacked"
    return WeightFile(where, tensors, strides, layouts)


def _only_bank(file: WeightFile) -> str:
    if len(file.strides) > 1:
        banks = listing(file.strides, file.tensors)
        raise ValueError(f"{file.where} holds {len(file.strides)} banks; choose by --tensor NAME: {banks}.")
    return next(iter(file.strides))


def _bank(file: WeightFile, name: str, layout: Layout | None) -> FilterBank:
    """The bank in the tensor of that name, or in the two that it names, at a sample rate that is assumed."""
    names = [part.strip() for part in name.split(",")]
    parts = [_rows(file.tensors, part, file.where) for part in names]
    real, imag, layout = halves(parts, name, layout or file.layouts.get(name))
    return FilterBank(name, real, imag, layout, SAMPLE_RATE, file.strides.get(names[0]), sample_rate_assumed=True)


def _rows(tensors: Mapping[str, Tensor], name: str, where: str) -> Tensor:
    """(rows, taps) float64 of the tensor, or complex128, finite and not all zero."""
    tensor = named_tensor(tensors, name, where)
    shape = bank_shape(tensor.shape)
    if shape is None:
        raise ValueError(
            f"{name} of {where} has the shape {tuple(tensor.shape)}; expected (filters, 1, taps) or (filters, taps)."
        )
    rows = in_double(tensor).reshape(shape).contiguous()
    bad = (~rows.isfinite()).any(1).nonzero().flatten().tolist()
    if bad:
        raise ValueError(
            f"{name} of {where} holds NaN or infinite weights, in {len(bad)} of {len(rows)} filters, first in {bad[0]}."
        )
    if not rows.any():
        raise ValueError(f"{name} of {where} holds only zeros.")
    return rows


def in_double(tensor: Tensor) -> Tensor:
    """On the CPU, complex128 where it is complex, else float64."""
    return tensor.detach().to("cpu", torch.complex128 if tensor.is_complex() else torch.float64)


def is_encoder_checkpoint(path: str | os.PathLike[str]) -> bool:
    """Whether a file or folder of another toolkit's holds a wav2vec 2.0 encoder, which is no single bank; an adapter
    builds its pipeline."""
    if Path(path).is_dir():
        return (Path(path) / "config.json").is_file()
    if not Path(path).is_file() or Path(path).suffix not in CHECKPOINTS:
        return False
    return any(FIRST in name for name in tensor_names(path))
