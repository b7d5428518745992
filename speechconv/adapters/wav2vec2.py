"""Pipelines of all that stands before the Transformer of wav2vec 2.0, HuBERT and their kin.

    [normalize]  encoder  [projection_norm]  projection  positional  [transformer_norm]

A `Layout` says which of the stages there are and of what size; it comes from a config, or from shapes and names of the
tensors, or from a pipeline that is there already. `names` says which tensor goes where.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import nn

from speechconv.adapters.fit import fill
from speechconv.adapters.names import Toolkit, Weights
from speechconv.checks import check_choice
from speechconv.combine import Residual, named_parts
from speechconv.frontend.normalize import Normalize
from speechconv.frontend.wav2vec2 import KERNEL_SIZES, STRIDES, FeatureEncoder, GroupNormPolicy, Norm
from speechconv.layers.positional import ConvPositionalEmbedding
from speechconv.norm import LayerNorm
from speechconv.pipeline import Pipeline

NormalizePolicy = Literal["auto", "utterance", "frozen"] | None

NORMALIZE_EPS: dict[Toolkit, float] = {"transformers": 1e-7, "torchaudio": 1e-5, "fairseq": 1e-5}
"""Added to the variance of the waveform; the latter two call layer_norm on it."""

SAMPLE_RATE = 16000


@dataclass(frozen=True)
class Layout:
    """The settings of every stage.

    Attributes:
        channels, kernel_sizes, strides, norm, bias: as `FeatureEncoder`.
        hidden: channels of the Transformer.
        taps, groups: of the positional convolution.
        projection_norm: a layer norm before the projection.
        transformer_norm: one behind the positional embedding, before the Transformer.
        eps: of both.
        normalize_eps: added to the variance of the waveform where that is normalised.
        normalize: the waveform is expected with zero mean and unit variance; None: nobody says, see `normalizes`.
        sample_rate: Hz; None: nobody says, 16000 then.
    """

    channels: int
    kernel_sizes: tuple[int, ...]
    strides: tuple[int, ...]
    norm: Norm
    bias: bool
    hidden: int
    taps: int
    groups: int
    projection_norm: bool
    transformer_norm: bool
    eps: float
    normalize_eps: float
    normalize: bool | None = None
    sample_rate: int | None = None

    @property
    def normalizes(self) -> bool:
        """Where nobody says: layer norm in the encoder goes with normalised waveforms, group norm with waveforms as
        they are, by the rule of wav2vec 2.0's authors (fairseq, issue 4687)."""
        return self.norm == "layer" if self.normalize is None else self.normalize

    def contradictions(self, ours: Layout) -> list[str]:
        """In words, what tensors do not show: a line for each setting in which `ours` is another one. A group norm
        takes a waveform's level and offset away again, so there it does not matter whether that was done before."""
        either = self.normalize is None or self.norm == ours.norm == "group"
        said = replace(
            self,
            normalize=ours.normalizes if either else self.normalize,
            sample_rate=self.sample_rate or ours.sample_rate,
        )
        pairs = zip(_in_words(said), _in_words(ours), strict=True)
        return [f"the checkpoint has {theirs}, the pipeline {own}" for theirs, own in pairs if theirs != own]


def _in_words(layout: Layout) -> list[str]:
    return [
        "group norm behind the first convolution (as wav2vec2-base)"
        if layout.norm == "group"
        else "layer norm behind every convolution (as wav2vec2-large)",
        f"strides {layout.strides}",
        "a layer norm behind the positional embedding (do_stable_layer_norm = false)"
        if layout.transformer_norm
        else "no layer norm behind the positional embedding (do_stable_layer_norm = true)",
        f"eps {layout.eps:g} in its layer norms",
        "a normalised waveform (do_normalize = true)"
        if layout.normalizes
        else "the waveform as it is (do_normalize = false)",
        f"{layout.sample_rate} Hz",
    ]


def infer_layout(
    weights: Weights, *, strides: Sequence[int] | None = None, layer_norm_first: bool | None = None
) -> Layout:
    """The layout as far as shapes and names tell it.

    Args:
        weights: of a checkpoint without a config.
        strides: of the convolutions. None: wav2vec 2.0's, if the kernels are wav2vec 2.0's.
        layer_norm_first: the Transformer's layers norm first (transformers: do_stable_layer_norm), so that no norm
            stands before them. None: as in all published checkpoints, True with layer norm in the encoder, False with
            group norm.

    Raises:
        ValueError: tensors that are missing; widths that differ; strides that must be given.
    """
    convs = (int(name.split(".")[2]) for name in weights.found if name.startswith("encoder.conv_layers."))
    last = max(convs, default=0)
    shapes = [weights.filters(f"encoder.conv_layers.{i}.conv.weight") for i in range(last + 1)]
    hidden, width, taps = weights.filters("positional.body.weight_v")
    kernel_sizes = tuple(shape[2] for shape in shapes)
    return Layout(
        channels=one_width([shape[0] for shape in shapes], weights.where),
        kernel_sizes=kernel_sizes,
        strides=_strides(kernel_sizes, weights.where) if strides is None else tuple(strides),
        norm=weights.norm,
        bias="encoder.conv_layers.0.conv.bias" in weights.found,
        hidden=hidden,
        taps=taps,
        groups=hidden // width,
        projection_norm="projection_norm.weight" in weights.found,
        transformer_norm=weights.norm == "group" if layer_norm_first is None else not layer_norm_first,
        eps=1e-5,
        normalize_eps=NORMALIZE_EPS[weights.toolkit],
    )


def one_width(widths: Sequence[int], where: str) -> int:
    """What all are.

    Raises:
        ValueError: they differ.
    """
    if len(set(widths)) != 1:
        raise ValueError(
            f"{where} has convolutions of different widths {tuple(widths)}; FeatureEncoder has one `channels` for all."
        )
    return widths[0]


def _strides(kernel_sizes: tuple[int, ...], where: str) -> tuple[int, ...]:
    if kernel_sizes != KERNEL_SIZES:
        raise ValueError(
            f"{where} has no config, and its kernels {kernel_sizes} are not wav2vec 2.0's {KERNEL_SIZES}, so the "
            "strides cannot be guessed; pass strides=(...)."
        )
    return STRIDES


def build(layout: Layout, *, normalize: NormalizePolicy, group_norm: GroupNormPolicy, dtype: torch.dtype) -> Pipeline:
    """The pipeline of that layout, in eval mode; its weights are yet to be filled in.

    Args:
        layout: of every stage.
        normalize: "auto" as the layout says, "utterance", "frozen", or None for no such stage.
        group_norm: as `FeatureEncoder`.
        dtype: of the weights.

    Raises:
        ValueError: another policy, or a layout that a stage refuses.
    """
    check_choice("normalize", normalize, ("auto", "utterance", "frozen", None))
    statistics = ("utterance" if layout.normalizes else None) if normalize == "auto" else normalize
    with torch.random.fork_rng(devices=[]):  # what is drawn for the weights is overwritten
        stages: dict[str, nn.Module] = {}
        if statistics:
            stages["normalize"] = Normalize(statistics=statistics, eps=layout.normalize_eps)
        stages["encoder"] = FeatureEncoder(
            channels=layout.channels,
            kernel_sizes=layout.kernel_sizes,
            strides=layout.strides,
            norm=layout.norm,
            bias=layout.bias,
            group_norm=group_norm,
        )
        if layout.projection_norm:
            stages["projection_norm"] = LayerNorm(layout.channels, eps=layout.eps)
        stages["projection"] = nn.Linear(layout.channels, layout.hidden)
        stages["positional"] = Residual(
            ConvPositionalEmbedding(layout.hidden, kernel_size=layout.taps, groups=layout.groups)
        )
        if layout.transformer_norm:
            stages["transformer_norm"] = LayerNorm(layout.hidden, eps=layout.eps)
        return Pipeline(stages, sample_rate=layout.sample_rate or SAMPLE_RATE).to(dtype).eval()


def layout_of_pipeline(pipe: Pipeline) -> Layout:
    """What `build` would make this pipeline from.

    Raises:
        ValueError: a pipeline of other stages.
    """
    stages = dict(named_parts(pipe))
    encoder, projection, positional = (stages.get(name) for name in ("encoder", "projection", "positional"))
    body = positional.body if isinstance(positional, Residual) else None
    if (
        not isinstance(encoder, FeatureEncoder)
        or not isinstance(projection, nn.Linear)
        or not isinstance(body, ConvPositionalEmbedding)
    ):
        raise ValueError(
            "weights of wav2vec 2.0 need the stages encoder (FeatureEncoder), projection (Linear) and positional "
            f"(ConvPositionalEmbedding in a Residual), as in the preset wav2vec2-base; got {', '.join(stages)}."
        )
    norms = [stages[name] for name in ("projection_norm", "transformer_norm") if name in stages]
    normalize = next((stage for stage in stages.values() if isinstance(stage, Normalize)), None)
    return Layout(
        channels=encoder.channels,
        kernel_sizes=encoder.kernel_sizes,
        strides=encoder.strides,
        norm=encoder.norm,
        bias=encoder.bias is not None,
        hidden=projection.out_features,
        taps=body.kernel_size,
        groups=body.groups,
        projection_norm="projection_norm" in stages,
        transformer_norm="transformer_norm" in stages,
        eps=next((norm.eps for norm in norms if isinstance(norm, LayerNorm | nn.LayerNorm)), 1e-5),
        normalize_eps=normalize.eps if normalize else NORMALIZE_EPS["transformers"],
        normalize=normalize is not None,
        sample_rate=pipe.sample_rate,
    )


def fill_pipeline(
    pipe: Pipeline, weights: Weights, what: str = "the pipeline", contradictions: Sequence[str] = ()
) -> None:
    """Put all weights into the stages of those names.

    Frozen statistics of the encoder's group norm belong to the weights that were there before; they become "not given
    yet", so `Pipeline.calibrate` is due again.

    Args:
        pipe: with the stages of `build`.
        weights: to put in.
        what: `pipe` is, in the error.
        contradictions: lines for the error, besides those that the tensors themselves give.

    Raises:
        ValueError: a contradiction, or tensors missing, extra or misshaped; nothing has been overwritten then.
    """
    ours = dict(pipe.named_parameters())
    found = weights.found
    if not hasattr(pipe, "transformer_norm"):  # the Transformer's last norm, then
        found = {name: item for name, item in found.items() if not name.startswith("transformer_norm.")}
    complaint = f"{weights.where} does not fit {what}"
    fill(ours, found, complaint, extra=weights.extra, contradictions=contradictions)
    for statistic in pipe.get_submodule("encoder").buffers():
        statistic.fill_(torch.nan)
