"""Checkpoints of transformers into pipelines: all that stands before the Transformer, as `hidden_states[0]` gives it.

    do_normalize           normalize            Normalize
    feat_extract_norm      encoder              FeatureEncoder         conv_dim, conv_kernel, conv_stride, conv_bias
    feat_proj_layer_norm   projection_norm      LayerNorm              layer_norm_eps
                           projection           Linear                 hidden_size
                           positional           x + ConvPositionalEmbedding(x)   num_conv_pos_embeddings, ..._groups
    do_stable_layer_norm   transformer_norm     LayerNorm, unless      layer_norm_eps

Files without a config, fairseq's and torchaudio's among them, are read by the shapes and names of their tensors.

The other way, our encoders in transformers: `plug` puts one into a model of theirs (`huggingface_plug`), and
SpeechconvModel is one of theirs itself (`huggingface_model`).
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from speechconv.adapters.checkpoint import Source, open_checkpoint
from speechconv.adapters.huggingface_plug import config_of as config_of
from speechconv.adapters.huggingface_plug import plug as plug
from speechconv.adapters.names import name_tensors
from speechconv.adapters.wav2vec2 import (
    NORMALIZE_EPS,
    Layout,
    NormalizePolicy,
    build,
    fill_pipeline,
    infer_layout,
    layout_of_pipeline,
    one_width,
)
from speechconv.frontend.wav2vec2 import KERNEL_SIZES, STRIDES, GroupNormPolicy
from speechconv.pipeline import Pipeline

if TYPE_CHECKING:
    from speechconv.adapters.huggingface_model import SpeechconvConfig as SpeechconvConfig
    from speechconv.adapters.huggingface_model import SpeechconvFeatureExtractor as SpeechconvFeatureExtractor
    from speechconv.adapters.huggingface_model import SpeechconvModel as SpeechconvModel

MODELS = ("SpeechconvConfig", "SpeechconvFeatureExtractor", "SpeechconvModel")
"""Of `huggingface_model`, which imports transformers; loading weights and `plug` need none of it."""

MODEL_TYPES = ("wav2vec2", "hubert", "wavlm", "unispeech", "unispeech-sat")
"""Of transformers' models, those that do the same before the Transformer."""

DEFAULTS: dict[str, Any] = {
    "hidden_size": 768,
    "layer_norm_eps": 1e-5,
    "feat_extract_norm": "group",
    "feat_extract_activation": "gelu",
    "conv_dim": [512] * 7,
    "conv_kernel": list(KERNEL_SIZES),
    "conv_stride": list(STRIDES),
    "conv_bias": False,
    "num_conv_pos_embeddings": 128,
    "num_conv_pos_embedding_groups": 16,
    "do_stable_layer_norm": False,
    "feat_proj_layer_norm": True,
    "conv_pos_batch_norm": False,
}
"""What transformers takes for a key that an older config.json leaves out."""

ACCEPTED: dict[str, tuple[Any, ...]] = {
    "model_type": MODEL_TYPES,
    "feat_extract_norm": ("group", "layer"),
    "feat_extract_activation": ("gelu",),
    "conv_pos_batch_norm": (False,),
}
"""Settings of which speechconv has not everything that transformers has."""


def load(
    source: Source,
    *,
    normalize: NormalizePolicy = "auto",
    group_norm: GroupNormPolicy = "utterance",
    strides: Sequence[int] | None = None,
    layer_norm_first: bool | None = None,
    dtype: torch.dtype = torch.float32,
) -> Pipeline:
    """The input of the Transformer of a wav2vec 2.0, HuBERT, WavLM or UniSpeech checkpoint.

    Args:
        source: a model of transformers (any with one of these inside), a folder (config.json and weights), a file
            (.safetensors, or .pt, .bin, .pth, .ckpt by torch.load(weights_only=True)), a state dict, or a hub name such
            as "facebook/wav2vec2-base". Files may bear the names of transformers, torchaudio or fairseq.
        normalize: the Normalize stage. "auto": "utterance" if preprocessor_config.json says do_normalize; where there
            is none, if the encoder has layer norm. "utterance", "frozen" (for live use: `Pipeline.calibrate` gives
            statistics) and None (no such stage) are what they say.
        group_norm: as `FeatureEncoder`; without effect where the encoder has layer norm.
        strides: of the convolutions, only where there is no config: tensors do not show them. None: wav2vec 2.0's, if
            the kernels are wav2vec 2.0's.
        layer_norm_first: the Transformer's layers norm first (do_stable_layer_norm), so that no norm stands before
            them; only where there is no config. None: as in all published checkpoints, True if the encoder has layer
            norm and False if it has group norm.
        dtype: of the weights, whatever the checkpoint's is.

    Returns:
        A pipeline in eval mode, of the stages normalize, encoder, projection_norm, projection, positional,
        transformer_norm; those that the checkpoint has not are left out.

    Shape:
        (batch, samples) -> (batch, frames, hidden): `hidden_states[0]` of transformers

    Raises:
        ValueError: missing, extra or misshaped tensors, all of them listed (what stands behind the Transformer's input
            is left out knowingly); a setting that speechconv has not; strides that must be given.
        FileNotFoundError, ImportError, ConnectionError, TypeError: as `open_checkpoint`.

    Source: transformers, models/wav2vec2/modeling_wav2vec2.py.

    Example:
        >>> from transformers import Wav2Vec2Config, Wav2Vec2Model
        >>> small = {"conv_dim": (8,) * 7, "hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 0}
        >>> pipe = load(Wav2Vec2Model(Wav2Vec2Config(**small)))
        >>> [name for name, _ in pipe.named_children()]
        ['encoder', 'projection_norm', 'projection', 'positional', 'transformer_norm']
        >>> pipe(torch.randn(1, 16000)).shape
        torch.Size([1, 49, 16])
    """
    checkpoint = open_checkpoint(source)
    if checkpoint.config is not None:
        _refuse_guesses(checkpoint.where, strides=strides, layer_norm_first=layer_norm_first)
        layout, what = layout_of_config(checkpoint.config, checkpoint.where), "its own config"
        weights = name_tensors(checkpoint)
    else:
        weights = name_tensors(checkpoint)
        layout, what = infer_layout(weights, strides=strides, layer_norm_first=layer_norm_first), "the pipeline"
    layout = _prepared(layout, checkpoint.preprocessor)
    pipe = build(layout, normalize=normalize, group_norm=group_norm, dtype=dtype)
    fill_pipeline(pipe, weights, what, replace(layout, norm=weights.norm).contradictions(layout))
    return pipe


def load_into(pipe: Pipeline, source: Source) -> None:
    """Put a checkpoint's weights into a pipeline that is there already, such as a preset's.

    Args:
        pipe: of the stages that `load` names, in any dtype.
        source: as for `load`.

    Where the checkpoint has no config, what its tensors do not show (strides, do_stable_layer_norm, eps) is taken to be
    as in the pipeline; so is, always, the eps of Normalize. Frozen statistics of the encoder's group norm belong to the
    weights that were there before; they become "not given yet", so `Pipeline.calibrate` is due again.

    Raises:
        ValueError: missing, extra or misshaped tensors, and settings in which the two contradict each other, all of
        them listed. Nothing has been overwritten then.
        FileNotFoundError, ImportError, ConnectionError, TypeError: as `open_checkpoint`.

    Example:
        >>> from transformers import Wav2Vec2Config, Wav2Vec2Model
        >>> small = {"conv_dim": (8,) * 7, "hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 0}
        >>> theirs, other = (Wav2Vec2Model(Wav2Vec2Config(**small)) for _ in range(2))
        >>> pipe = load(other)
        >>> load_into(pipe, theirs.state_dict())
        >>> wav = torch.randn(1, 16000)
        >>> torch.equal(pipe(wav), load(theirs)(wav))
        True
    """
    ours = layout_of_pipeline(pipe)
    checkpoint = open_checkpoint(source)
    config, where = checkpoint.config, checkpoint.where
    theirs = replace(ours, normalize=None, sample_rate=None) if config is None else layout_of_config(config, where)
    weights = name_tensors(checkpoint)
    theirs = replace(theirs, norm=weights.norm)
    contradictions = _prepared(theirs, checkpoint.preprocessor).contradictions(ours)
    if contradictions:
        contradictions.append(
            "(huggingface.load makes the pipeline that fits; on the command line: --weights without --pipeline)"
        )
    fill_pipeline(pipe, weights, contradictions=contradictions)


def layout_of_config(config: Mapping[str, Any], where: str) -> Layout:
    """The layout that a config.json describes.

    Args:
        config: of transformers.
        where: it was found, for messages.

    Raises:
        ValueError: settings that speechconv has not, all of them named.

    Example:
        >>> layout_of_config({"model_type": "sew", "feat_extract_activation": "relu"}, "here")
        Traceback (most recent call last):
        ValueError: here has settings that speechconv has not:
          model_type = 'sew' (only 'wav2vec2', 'hubert', 'wavlm', 'unispeech', 'unispeech-sat')
          feat_extract_activation = 'relu' (only 'gelu')
    """
    given: dict[str, Any] = {"model_type": None} | DEFAULTS | dict(config)
    faults = [
        f"{key} = {given[key]!r} (only {', '.join(map(repr, accepted))})"
        for key, accepted in ACCEPTED.items()
        if given[key] not in accepted
    ]
    if faults:
        raise ValueError("\n  ".join((f"{where} has settings that speechconv has not:", *faults)))
    return Layout(
        channels=one_width(given["conv_dim"], where),
        kernel_sizes=tuple(given["conv_kernel"]),
        strides=tuple(given["conv_stride"]),
        norm=given["feat_extract_norm"],
        bias=given["conv_bias"],
        hidden=given["hidden_size"],
        taps=given["num_conv_pos_embeddings"],
        groups=given["num_conv_pos_embedding_groups"],
        projection_norm=given["feat_proj_layer_norm"],
        transformer_norm=not given["do_stable_layer_norm"],
        eps=given["layer_norm_eps"],
        normalize_eps=NORMALIZE_EPS["transformers"],
    )


def _prepared(layout: Layout, preprocessor: Mapping[str, Any] | None) -> Layout:
    """With what preprocessor_config.json says, and Wav2Vec2FeatureExtractor's own defaults for what it leaves out."""
    if preprocessor is None:
        return layout
    settings = {"do_normalize": True, "sampling_rate": 16000} | dict(preprocessor)
    return replace(layout, normalize=settings["do_normalize"], sample_rate=settings["sampling_rate"])


def _refuse_guesses(where: str, **guesses: Any) -> None:
    """ValueError for a setting that the config owns."""
    given = [name for name, value in guesses.items() if value is not None]
    if given:
        raise ValueError(f"{where} has a config, which says what {' and '.join(given)} would; leave it out.")


def __getattr__(name: str) -> Any:
    if name in MODELS:
        return getattr(importlib.import_module("speechconv.adapters.huggingface_model"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
