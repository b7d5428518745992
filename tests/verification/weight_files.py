"""Files with filters in them, of every kind that verify reads, and some that it must refuse."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file
from torch import Tensor

from speechconv.verification.filter_bank import FilterBank, Layout
from speechconv.verification.sources import read_bank
from tests.verification.banks import Array, dft, hann, mel_gabor, pairs

TAPS, HOP = 64, 16


def stft_rows(taps: int = TAPS) -> tuple[Tensor, Tensor]:
    """cos and -sin under a periodic Hann window."""
    return _halves(dft(taps, hann(taps)))


def gabor_rows(filters: int = 24, taps: int = 128) -> tuple[Tensor, Tensor]:
    """Gaussian pulses on a mel scale, each with its quadrature."""
    return _halves(mel_gabor(filters, taps))


def _halves(filters: Array) -> tuple[Tensor, Tensor]:
    bank = pairs(filters)
    assert bank.imag is not None
    return bank.real, bank.imag


def stacked() -> Tensor:
    return torch.cat(stft_rows()).float()[:, None]


def bank(path: Path | str, tensor: str | None = None, **options: Any) -> FilterBank:
    found = read_bank(path, tensor, **options)
    assert isinstance(found, FilterBank)
    return found


def write_safetensors(path: Path, weight: Tensor) -> None:
    save_file({"front.weight": weight, "head.bias": torch.randn(8)}, path)


def write_torch(path: Path, weight: Tensor) -> None:
    torch.save({"epoch": 3, "model": {"front.weight": torch.nn.Parameter(weight)}, "lists": [torch.randn(3)]}, path)


class Front(torch.nn.Module):
    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.front = torch.nn.Conv1d(1, len(weight), weight.shape[2], stride=HOP, bias=False)
        self.front.weight = torch.nn.Parameter(weight, requires_grad=False)
        self.register_buffer("mean", torch.randn(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.front(x)


def write_torchscript(path: Path, weight: Tensor) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch wants to be rid of TorchScript; its files will stay
        torch.jit.script(Front(weight)).save(str(path))


def onnx_model(weight: Tensor) -> onnx.ModelProto:
    if weight.dtype == torch.bfloat16:
        bits = weight.view(torch.int16).numpy().tobytes()
        tensor = helper.make_tensor("front.weight", TensorProto.BFLOAT16, weight.shape, bits, raw=True)
    else:
        tensor = numpy_helper.from_array(weight.numpy(), "front.weight")
    shape = numpy_helper.from_array(np.array([1, -1]), "shape")
    kind = tensor.data_type
    conv = helper.make_node("Conv", ["x", "front.weight"], ["y"], strides=[HOP])
    x = helper.make_tensor_value_info("x", kind, [1, 1, 1000])
    y = helper.make_tensor_value_info("y", kind, None)
    return helper.make_model(helper.make_graph([conv], "front", [x], [y], [tensor, shape]))


def write_onnx(path: Path, weight: Tensor) -> None:
    onnx.save(onnx_model(weight), path)


def write_onnx_with_external_data(path: Path, weight: Tensor) -> None:
    onnx.save(onnx_model(weight), path, save_as_external_data=True, location="weights.bin", size_threshold=0)


WRITERS: dict[str, tuple[str, Callable[[Path, Tensor], None]]] = {
    "safetensors": ("bank.safetensors", write_safetensors),
    "torch": ("bank.pt", write_torch),
    "torchscript": ("script.pt", write_torchscript),
    "onnx": ("bank.onnx", write_onnx),
    "external": ("external.onnx", write_onnx_with_external_data),
}


def as_layout(layout: Layout, real: Tensor, imag: Tensor) -> dict[str, Tensor]:
    match layout:
        case "stacked":
            return {"conv.weight": torch.cat((real, imag))[:, None]}
        case "interleaved":
            return {"conv.weight": torch.stack((real, imag), 1).flatten(0, 1).contiguous()}
        case "separate":
            return {"stft.conv_real.weight": real[:, None].clone(), "stft.conv_imag.weight": imag[:, None].clone()}
    return {"conv.weight": real[:, None].clone()}


def one_line(path: Path, tensor: str | None = None, **options: object) -> str:
    """The message that reading gives."""
    with pytest.raises((ValueError, OSError)) as caught:
        bank(path, tensor, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message or (tensor or "") in message
    return message


class Payload:
    """A pickle that makes a file when it is read with its code."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., int], tuple[str]]:
        return os.system, (f"touch '{self.path}'",)
