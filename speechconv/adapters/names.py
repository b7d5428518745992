"""What stands before the Transformer of wav2vec 2.0, HuBERT and their kin, by whatever names it was saved.

    ours                        transformers                          fairseq
    encoder.conv_layers.I       feature_extractor.conv_layers.I       feature_extractor.conv_layers.I
        conv                        conv                                  0
        layer_norm                  layer_norm                            2 (group norm), 2.1 (layer norm)
    projection_norm             feature_projection.layer_norm         layer_norm
    projection                  feature_projection.projection         post_extract_proj
    positional.body             encoder.pos_conv_embed.conv           encoder.pos_conv.0
    transformer_norm            encoder.layer_norm                    encoder.layer_norm

torchaudio has transformers' names, but encoder.feature_projection and encoder.transformer.pos_conv_embed, .layer_norm.
Weight norm is weight_g and weight_v; or parametrizations.weight.original0, original1; or it was computed and dropped:
weight alone, of which g = |weight|, v = weight. A prefix before all names (wav2vec2., hubert., w2v_encoder.w2v_model.)
is taken off. The last norm stands before the Transformer only where its layers norm last (base); where they norm first
(large-lv60) it stands behind them, and is none of ours.

Source: transformers, modeling_wav2vec2.py, modeling_hubert.py; torchaudio, models/wav2vec2/utils/import_fairseq.py;
fairseq, models/wav2vec/wav2vec2.py and models/hubert/hubert.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from speechconv.adapters.checkpoint import Checkpoint
from speechconv.adapters.fit import Found
from speechconv.frontend.wav2vec2 import Norm

Toolkit = Literal["transformers", "torchaudio", "fairseq"]

FIRST = "feature_extractor.conv_layers.0."
WEIGHT_NORM = "positional.body."
POSITIONAL = r"encoder\.(?:(?:transformer\.)?pos_conv_embed\.conv|pos_conv\.0)"
NAMES = tuple(
    (re.compile(theirs), ours)
    for theirs, ours in (
        (r"feature_extractor\.conv_layers\.(\d+)\.(?:conv|0)\.(weight|bias)", r"encoder.conv_layers.\1.conv.\2"),
        (
            r"feature_extractor\.conv_layers\.(\d+)\.(?:layer_norm|2|2\.1)\.(weight|bias)",
            r"encoder.conv_layers.\1.layer_norm.\2",
        ),
        (r"(?:(?:encoder\.)?feature_projection\.)?layer_norm\.(weight|bias)", r"projection_norm.\1"),
        (r"(?:(?:encoder\.)?feature_projection\.projection|post_extract_proj)\.(weight|bias)", r"projection.\1"),
        (rf"{POSITIONAL}\.(weight|weight_g|weight_v|bias)", r"positional.body.\1"),
        (rf"{POSITIONAL}\.parametrizations\.weight\.original0", "positional.body.weight_g"),
        (rf"{POSITIONAL}\.parametrizations\.weight\.original1", "positional.body.weight_v"),
        (r"encoder\.(?:transformer\.)?layer_norm\.(weight|bias)", r"transformer_norm.\1"),
    )
)

TRANSFORMER = ("encoder.layers.", "encoder.transformer.layers.", "adapter.")
PRETRAINING = (
    *("masked_spec_embed", "mask_emb", "mask_generator.", "logit_generator.", "quantizer.", "input_quantizer."),
    *("project_q.", "project_hid.", "project_inp.", "target_glu.", "final_proj.", "label_embs_concat"),
    *("speaker_proj.", "label_embeddings_concat", "layer_norm_for_extract."),
)
HEADS = (
    *("lm_head.", "ctc_proj.", "proj.", "w2v_encoder.proj.", "aux.", "classifier.", "projector.", "layer_weights"),
    *("tdnn.", "objective.", "feature_extractor.weight", "feature_extractor.bias"),
)
LEFT_OUT = (*TRANSFORMER, *PRETRAINING, *HEADS)
"""Beginnings of the keys that are knowingly left out: they act behind `hidden_states[0]`, or in training only."""

UNLIKE = {
    r"encoder\.(transformer\.)?layers\.\d+\.conv_module\.": "Conformer layers (wav2vec2-conformer), which "
    "make no use of the positional embedding",
    r"encoder\.(pos_conv_embed\.layers\.|pos_conv\.\d+\.0\.)": "several positional convolutions (data2vec-audio)",
    r"encoder\.(pos_conv_embed\.batch_norm\.|pos_conv\.0\.running_mean)": "batch norm before the positional "
    "convolution (conv_pos_batch_norm)",
}
"""Keys that give away a model which is another one before its Transformer too."""


@dataclass(frozen=True)
class Weights:
    """Tensors of a checkpoint under our names.

    Attributes:
        where: file, folder or type, for messages.
        toolkit: whose names it bears.
        found: our name -> (their key, the tensor).
        extra: their keys that have no name here and are not left out knowingly.
    """

    where: str
    toolkit: Toolkit
    found: Found
    extra: tuple[str, ...]

    @property
    def norm(self) -> Norm:
        """Of the encoder: only layer norm stands behind every convolution."""
        return (
            "layer"
            if any(re.match(r"encoder\.conv_layers\.[1-9].*layer_norm", name) for name in self.found)
            else "group"
        )

    def filters(self, name: str) -> tuple[int, int, int]:
        """Shape of one of our convolutions' weights: filters, channels, taps.

        Raises:
            ValueError: the checkpoint does not hold it.
        """
        if name not in self.found:
            raise ValueError(f"{self.where} lacks {name}, so the layout of its model cannot be seen.")
        key, tensor = self.found[name]
        if tensor.ndim != 3 or not tensor.numel():
            raise ValueError(f"{key} in {self.where} is {tuple(tensor.shape)}, expected (filters, channels, taps).")
        return tensor.shape[0], tensor.shape[1], tensor.shape[2]


def name_tensors(checkpoint: Checkpoint) -> Weights:
    """The checkpoint's tensors under our names.

    Raises:
        ValueError: no wav2vec 2.0 feature encoder, or several; a model that is another one before its Transformer; two
        keys for one tensor.

    Example:
        >>> key, filters = "wav2vec2.feature_extractor.conv_layers.0.conv.weight", torch.zeros(8, 1, 10)
        >>> weights = name_tensors(Checkpoint("here", {key: filters, "lm_head.bias": torch.zeros(2)}))
        >>> list(weights.found), weights.extra
        (['encoder.conv_layers.0.conv.weight'], ())
    """
    prefix = _prefix(checkpoint)
    found: dict[str, tuple[str, Tensor]] = {}
    extra = []
    for key, tensor in checkpoint.tensors.items():
        inside = key.removeprefix(prefix)
        name = our_name(inside) if key.startswith(prefix) else None
        if name in found:
            raise ValueError(f"{checkpoint.where} holds one tensor twice: {found[name][0]} and {key}.")
        if name:
            found[name] = (key, tensor)
        elif not inside.startswith(LEFT_OUT):
            extra.append(key)
    _check_alike(checkpoint, prefix)
    return Weights(
        checkpoint.where, _toolkit(checkpoint.tensors, prefix), _split_weight(found, checkpoint.where), tuple(extra)
    )


def our_name(key: str) -> str | None:
    """Our name for a key of theirs without prefix; None for what we have not.

    >>> our_name("encoder.pos_conv_embed.conv.parametrizations.weight.original0")
    'positional.body.weight_g'
    >>> our_name("feature_extractor.conv_layers.6.2.1.bias")
    'encoder.conv_layers.6.layer_norm.bias'
    """
    matches = ((pattern.fullmatch(key), ours) for pattern, ours in NAMES)
    return next((match.expand(ours) for match, ours in matches if match), None)


def _prefix(checkpoint: Checkpoint) -> str:
    """What stands before the names of the model."""
    prefixes = {key[: key.index(FIRST)] for key in checkpoint.tensors if FIRST in key}
    if not prefixes:
        some = ", ".join(list(checkpoint.tensors)[:3]) or "nothing"
        raise ValueError(
            f"no wav2vec 2.0 feature encoder in {checkpoint.where}: expected a key with {FIRST}, it holds {some}, ..."
        )
    if len(prefixes) > 1:
        raise ValueError(f"{checkpoint.where} holds several models: {', '.join(sorted(prefixes))}; pass one's tensors.")
    return prefixes.pop()


def _check_alike(checkpoint: Checkpoint, prefix: str) -> None:
    unlike = sorted({what for key in checkpoint.tensors for what in _unlike(key.removeprefix(prefix))})
    if unlike:
        raise ValueError(f"{checkpoint.where} has what speechconv has not: {'; '.join(unlike)}.")


def _unlike(key: str) -> list[str]:
    return [what for pattern, what in UNLIKE.items() if re.match(pattern, key)]


def _toolkit(keys: Mapping[str, Tensor], prefix: str) -> Toolkit:
    if f"{prefix}{FIRST}0.weight" in keys:
        return "fairseq"
    names = ("encoder.transformer.", "encoder.feature_projection.")
    return "torchaudio" if any(key.removeprefix(prefix).startswith(names) for key in keys) else "transformers"


def _split_weight(found: dict[str, tuple[str, Tensor]], where: str) -> Found:
    """A positional `weight` without weight norm as length and direction."""
    plain = found.pop(f"{WEIGHT_NORM}weight", None)
    if plain is None:
        return found
    key, weight = plain
    twice = [found[name][0] for name in (f"{WEIGHT_NORM}weight_g", f"{WEIGHT_NORM}weight_v") if name in found]
    if twice:
        raise ValueError(f"{where} holds one tensor twice: {', '.join((*twice, key))}.")
    lengths = torch.linalg.vector_norm(weight.double(), dim=(0, 1), keepdim=True) if weight.ndim == 3 else weight
    directions = torch.where(lengths == 0, 1, weight)  # a tap of zeros has none; length 0 keeps it 0
    return found | {f"{WEIGHT_NORM}weight_g": (key, lengths), f"{WEIGHT_NORM}weight_v": (key, directions)}
