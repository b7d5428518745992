"""Models of torchaudio into our layers: wav2vec 2.0 and HuBERT as pipelines, and the Conformer's convolution modules.
Our encoders into torchaudio's models: `plug`, whose home is `torchaudio_plug`.

    _ConvolutionModule    ConformerConvModule
    layer_norm            layer_norm
    sequential.0          pointwise_in            (2 C, C, 1) loses its last axis
    sequential.2          depthwise
    sequential.3          depthwise_norm          BatchNorm1d; GroupNorm (use_group_norm) is not to be had
    sequential.5          pointwise_out           (C, C, 1) loses its last axis

torchaudio is imported where an object of its own is looked at, and for nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from speechconv.adapters import huggingface
from speechconv.adapters.checkpoint import Checkpoint
from speechconv.adapters.fit import fill
from speechconv.adapters.names import name_tensors
from speechconv.adapters.torchaudio_plug import FeatureExtractor as FeatureExtractor
from speechconv.adapters.torchaudio_plug import import_torchaudio
from speechconv.adapters.torchaudio_plug import plug as plug
from speechconv.adapters.wav2vec2 import NormalizePolicy, build, fill_pipeline, infer_layout
from speechconv.frontend.wav2vec2 import GroupNormPolicy
from speechconv.layers.conformer import ConformerConvModule
from speechconv.pipeline import Pipeline

if TYPE_CHECKING:
    from torchaudio.models import Conformer

CONVOLUTION = {
    "layer_norm": "layer_norm",
    "sequential.0": "pointwise_in",
    "sequential.2": "depthwise",
    "sequential.3": "depthwise_norm",
    "sequential.5": "pointwise_out",
}
"""Parts of torchaudio's Conformer convolution module, and ours."""

EPS = 1e-5
"""Of both norms of `ConformerConvModule`."""


def load(
    source: nn.Module | Mapping[str, Tensor] | str | os.PathLike[str],
    *,
    normalize: NormalizePolicy = "auto",
    group_norm: GroupNormPolicy = "utterance",
    strides: Sequence[int] | None = None,
    layer_norm_first: bool | None = None,
    dtype: torch.dtype = torch.float32,
) -> Pipeline:
    """The input of the Transformer of torchaudio's wav2vec 2.0, HuBERT or WavLM.

    Args:
        source: a Wav2Vec2Model, what `torchaudio.pipelines` wraps around one, a HuBERTPretrainModel; or a state dict or
            file of one (.pt, .pth, .bin, .safetensors).
        normalize: as `huggingface.load`; a model out of `torchaudio.pipelines` says itself what "auto" is.
        group_norm, dtype: as `huggingface.load`.
        strides, layer_norm_first: as `huggingface.load`; a model tells both, so only of a state dict or file.

    Returns:
        A pipeline in eval mode, its stages as in `huggingface.load`.

    Raises:
        ValueError: as `huggingface.load`.
        TypeError: another model.
        ImportError: torchaudio does not load.

    Example:
        >>> from torchaudio.models import wav2vec2_model
        >>> convs = [(8, 10, 5)] + [(8, 3, 2)] * 4 + [(8, 2, 2)] * 2
        >>> pipe = load(wav2vec2_model("layer_norm", convs, True, 16, 0, 128, 2, 0, 2, 0, 8, 0, 0, True, 0, None))
        >>> [name for name, _ in pipe.named_children()]
        ['normalize', 'encoder', 'projection_norm', 'projection', 'positional']
    """
    policies: Any = {"normalize": normalize, "group_norm": group_norm, "dtype": dtype}
    if not isinstance(source, nn.Module):
        return huggingface.load(source, strides=strides, layer_norm_first=layer_norm_first, **policies)
    if strides is not None or layer_norm_first is not None:
        raise ValueError("a model says itself what strides and layer_norm_first are; leave them out.")
    model: Any = _wav2vec2_model(source)
    weights = name_tensors(Checkpoint(type(source).__name__, model.state_dict()))
    layout = infer_layout(
        weights,
        strides=[layer.stride for layer in model.feature_extractor.conv_layers],
        # Of the encoder as a whole; the Transformer module itself keeps the opposite under the same name.
        layer_norm_first=not model.encoder.transformer.layer_norm_first,
    )
    pipe = build(replace(layout, normalize=getattr(source, "normalize_waveform", None)), **policies)
    fill_pipeline(pipe, weights)
    return pipe


def _wav2vec2_model(source: nn.Module) -> Any:
    """The Wav2Vec2Model itself, out of what is wrapped around it."""
    kind = import_torchaudio().models.Wav2Vec2Model
    for model in (source, getattr(source, "model", None), getattr(source, "wav2vec2", None)):
        if isinstance(model, kind):
            return model
    raise TypeError(
        f"expected a torchaudio.models.Wav2Vec2Model, got {type(source).__name__}; models of transformers are for "
        "speechconv.adapters.huggingface."
    )


def load_conformer(conformer: Conformer) -> nn.ModuleList:
    """The convolution module of each layer of a torchaudio.models.Conformer, in order and in eval mode.

    Raises:
        ValueError: modules that `load_conformer_module` refuses.
        TypeError: another model.
        ImportError: torchaudio does not load.

    Example:
        >>> from torchaudio.models import Conformer
        >>> modules = load_conformer(Conformer(16, 4, 32, num_layers=2, depthwise_conv_kernel_size=31))
        >>> len(modules), modules[0](torch.zeros(1, 50, 16)).shape
        (2, torch.Size([1, 50, 16]))
    """
    _check_kind(conformer, import_torchaudio().models.Conformer)
    layers: Any = conformer.conformer_layers
    return nn.ModuleList(load_conformer_module(layer.conv_module) for layer in layers)


def load_conformer_module(module: nn.Module) -> ConformerConvModule:
    """The convolution module of a torchaudio.models.Conformer layer, of its dtype, on its device, in eval mode.

    Args:
        module: layer.conv_module, a torchaudio.models.conformer._ConvolutionModule.

    Raises:
        ValueError: what `ConformerConvModule` has not, all of it listed: group norm, a num_channels other than
        input_dim, another eps.
        TypeError: another module.
        ImportError: torchaudio does not load.

    Source: torchaudio, models/conformer.py.

    Example:
        >>> from torchaudio.models.conformer import _ConvolutionModule
        >>> load_conformer_module(_ConvolutionModule(16, 16, 31, bias=True)).pointwise_out
        Linear(in_features=16, out_features=16, bias=True)
    """
    _check_kind(module, import_torchaudio().models.conformer._ConvolutionModule)
    theirs: Any = module
    _, _, depthwise, norm, _, _, dropout = theirs.sequential
    _refuse(theirs.layer_norm, depthwise, norm)
    with torch.random.fork_rng(devices=[]):  # what is drawn for the weights is overwritten
        ours = ConformerConvModule(
            depthwise.in_channels,
            kernel_size=depthwise.kernel_size[0],
            bias=depthwise.bias is not None,
            dropout=dropout.p,
        ).to(depthwise.weight)
    found = dict(_named(key, tensor) for key, tensor in module.state_dict().items())
    fill(ours.state_dict(), found, "torchaudio's convolution module does not fit ConformerConvModule")
    return ours.eval()


def _refuse(layer_norm: Any, depthwise: Any, norm: Any) -> None:
    """ValueError for what a ConformerConvModule has not."""
    channels, inner = layer_norm.normalized_shape[0], depthwise.in_channels
    faults = []
    if not isinstance(norm, nn.BatchNorm1d):
        faults.append(f"{type(norm).__name__} behind the depthwise convolution (use_group_norm); only BatchNorm1d")
    if inner != channels:
        faults.append(f"num_channels = {inner}, input_dim = {channels}; only equal ones")
    faults += [
        f"eps = {part.eps:g} in {type(part).__name__}; only {EPS:g}" for part in (layer_norm, norm) if part.eps != EPS
    ]
    if faults:
        raise ValueError("\n  ".join(("the module has what ConformerConvModule has not:", *faults)))


def _named(key: str, tensor: Tensor) -> tuple[str, tuple[str, Tensor]]:
    """Our name, their key and the tensor, a pointwise convolution's as a matrix."""
    part, _, leaf = key.rpartition(".")
    ours = CONVOLUTION[part]
    return f"{ours}.{leaf}", (key, tensor[..., 0] if ours.startswith("pointwise") and leaf == "weight" else tensor)


def _check_kind(module: nn.Module, kind: type[nn.Module]) -> None:
    if not isinstance(module, kind):
        raise TypeError(f"expected a {kind.__module__}.{kind.__name__}, got {type(module).__name__}.")
