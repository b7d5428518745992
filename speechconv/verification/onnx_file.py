"""Initialisers and constants of an ONNX model, its inner graphs too, with the stride of each 1-D convolution."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor


def read_onnx(path: Path) -> tuple[dict[str, Tensor], dict[str, int]]:
    """(tensors by name, strides by the name of the kernel). External data is read from beside the file.

    Raises:
        ImportError: without the package onnx.
        ValueError: a damaged file, or external data that is missing or lies elsewhere.
    """
    try:
        import onnx
    except ImportError:
        raise ImportError(f"{path} is ONNX, and to read it takes the package onnx: pip install onnx.") from None
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's own kinds
        raise ValueError(f"{path} is not a whole ONNX file: {type(error).__name__}.") from None
    graphs = list(_graphs(model.graph))
    if not any(graph.node for graph in graphs) and not model.graph.initializer:
        raise ValueError(f"{path} is not a whole ONNX file: it holds no graph.")
    tensors = {name: _values(tensor, path) for graph in graphs for name, tensor in _constants(graph) if tensor.dims}
    strides = {node.input[1]: stride for graph in graphs for node in graph.node if (stride := _stride(node))}
    return tensors, strides


def _graphs(graph: Any) -> Iterator[Any]:
    """The graph, then those inside its If and Loop nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _graphs(attribute.g)


def _constants(graph: Any) -> Iterator[tuple[str, Any]]:
    for tensor in graph.initializer:
        yield tensor.name, tensor
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value":
                yield node.output[0], attribute.t


def _values(tensor: Any, path: Path) -> Tensor:
    from onnx import external_data_helper, numpy_helper

    try:
        if external_data_helper.uses_external_data(tensor):
            external_data_helper.load_external_data_for_tensor(tensor, str(path.parent))
        values = np.asarray(numpy_helper.to_array(tensor))
    except Exception as error:  # a missing file, a path outside the folder, too few bytes
        raise ValueError(f"{path}: tensor {tensor.name!r} cannot be read: {str(error).partition(chr(10))[0]}") from None
    if values.dtype.kind in "fiubc" and values.dtype.isbuiltin == 1:
        return torch.from_numpy(np.array(values))
    if values.dtype.kind in "OSU":
        return torch.empty(0, dtype=torch.int64)  # text is no filter
    return torch.from_numpy(values.astype(np.float64))  # bfloat16 and smaller are none of numpy's own


def _stride(node: Any) -> int | None:
    """Of a 1-D convolution, or a 2-D one along time; None for other nodes."""
    if node.op_type != "Conv":
        return None
    strides = next((list(attribute.ints) for attribute in node.attribute if attribute.name == "strides"), [1])
    return int(strides[-1]) if all(stride == 1 for stride in strides[:-1]) else None
