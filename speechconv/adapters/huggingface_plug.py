"""Encoders in transformers' own models: wav2vec 2.0, HuBERT, WavLM and all that have their `feature_extractor`.

    config = Wav2Vec2Config(**huggingface.config_of(encoder), vocab_size=32)
    model = huggingface.plug(Wav2Vec2ForCTC(config), encoder)

These models count frames by their config (`conv_kernel`, `conv_stride`), so the config must describe the encoder;
`plug` refuses another one. They tell their feature extractor nothing of the attention mask; the plugged one is told by
a hook, so that a row in a padded batch is the row alone, whatever norm the encoder has.

With a FeatureEncoder (of the group norm that transformers has, "utterance") what the model's `save_pretrained` writes
is read by plain transformers, the trained encoder as its own. With any other encoder, plug before loading:

    model = huggingface.plug(Wav2Vec2ForCTC(Wav2Vec2Config.from_pretrained(folder)), encoder)
    model.load_state_dict(safetensors.torch.load_file(folder / "model.safetensors"))

What transformers itself does not take, and the plug refuses in words: a row too short for one frame (transformers would
attend to all of its padding); padding before the samples; a mask of another shape than the waveform.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from speechconv.adapters.plug import Plug, check_encoder
from speechconv.frontend.wav2vec2 import FeatureEncoder
from speechconv.layer import Layer
from speechconv.layout import WAVEFORM

Model = TypeVar("Model", bound=nn.Module)


class FeatureExtractor(Plug):
    """`model.wav2vec2.feature_extractor` by one of our encoders.

    Attributes:
        lengths: valid samples of the rows of the next call, for this one call; None: all.

    Shape:
        (batch, samples) -> (batch, output_dim, frames)

    Raises:
        ValueError: a row without a frame.
    """

    lengths: Tensor | None = None

    def forward(self, input_values: Tensor) -> Tensor:
        lengths, self.lengths = self.lengths, None
        if lengths is None:
            lengths = torch.full((len(input_values),), input_values.shape[1], device=input_values.device)
        frames, counts = self.encoder(input_values, lengths)
        if bool((counts < 1).any()):
            raise ValueError(
                f"rows of {lengths.tolist()} samples; one frame takes {self.encoder.geometry.emitted_at(0)}: leave the "
                "shorter ones out, for transformers would attend to their padding."
            )
        return frames.transpose(1, 2)

    def _freeze_parameters(self) -> None:
        """What `model.freeze_feature_encoder()` calls."""
        self.requires_grad_(False)


def plug(model: Model, encoder: Layer) -> Model:
    """Put an encoder into a model of transformers, in place of its own.

    Args:
        model: Wav2Vec2ForCTC or any with a `feature_extractor` of convolutions inside; changed.
        encoder: a Pipeline, or a layer that takes a waveform; held, not copied.

    Returns:
        The same model.

    Raises:
        TypeError: another model; an encoder that is none.
        ValueError: a config that does not describe the encoder, every key in which it differs; as `config_of`.

    Source: transformers, models/wav2vec2/modeling_wav2vec2.py.

    Example:
        >>> import speechconv as sc
        >>> from transformers import Wav2Vec2Config, Wav2Vec2ForCTC
        >>> encoder = sc.Pipeline.from_preset("logmel", stft={"center": False}, mel={"n_mels": 8})
        >>> small = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 8}
        >>> model = plug(Wav2Vec2ForCTC(Wav2Vec2Config(**config_of(encoder), **small, vocab_size=5)), encoder)
        >>> model(torch.randn(1, 16000)).logits.shape
        torch.Size([1, 98, 5])
    """
    body: Any = getattr(model, "base_model", None)
    if not hasattr(getattr(body, "feature_extractor", None), "_freeze_parameters"):
        raise TypeError(
            f"expected a model of transformers with a feature_extractor, such as Wav2Vec2ForCTC; got "
            f"{type(model).__name__}."
        )
    wanted = config_of(encoder)
    faults = [
        f"{key} = {given!r}, the encoder's is {value!r}"
        for key, value in wanted.items()
        if (given := _plain(getattr(body.config, key, None))) != value
    ]
    if faults:
        raise ValueError(
            "\n  ".join(("the model's config does not describe the encoder; build it by config_of:", *faults))
        )
    if not isinstance(body.feature_extractor, FeatureExtractor):
        body.register_forward_pre_hook(_tell_lengths, with_kwargs=True)
    body.feature_extractor = FeatureExtractor(encoder)
    return model


def config_of(encoder: Layer) -> dict[str, Any]:
    """What a Wav2Vec2Config must say of an encoder.

    Raises:
        TypeError, ValueError: as `check_encoder`; frames that no chain of convolutions counts: centred ones of even
            n_fft, minimum_length.

    >>> import speechconv as sc
    >>> config_of(sc.Pipeline.from_preset("kaldi-fbank"))
    {'conv_kernel': [400], 'conv_stride': [160], 'conv_dim': [80]}
    """
    channels = check_encoder(encoder).channels_after(WAVEFORM)
    if isinstance(encoder, FeatureEncoder):
        return {
            "conv_kernel": list(encoder.kernel_sizes),
            "conv_stride": list(encoder.strides),
            "conv_dim": [channels] * len(encoder.strides),
            "feat_extract_norm": encoder.norm,
            "conv_bias": encoder.bias is not None,
        }
    g = encoder.geometry
    kernel = g.receptive_field - g.pad_left - g.pad_right
    if kernel < 1 or any(getattr(part, "resizes", False) for part in encoder.modules()):
        raise ValueError(
            "transformers counts frames as convolutions without pads do, (N - kernel) // stride + 1 with kernel >= 1; "
            f"this encoder (receptive field {g.receptive_field}, pads {g.pad_left} and {g.pad_right}) does not. Set "
            "center=False of its stft, and leave minimum_length out."
        )
    return {"conv_kernel": [kernel], "conv_stride": [g.stride], "conv_dim": [channels]}


def lengths_of(mask: Tensor) -> Tensor:
    """int64 (batch,) lengths from an attention mask (batch, samples), 1 where a sample is real.

    >>> lengths_of(torch.tensor([[1, 1, 0], [1, 1, 1]]))
    tensor([2, 3])

    Raises:
        ValueError: a mask with a gap, or with padding before the samples.
    """
    lengths = mask.long().sum(-1)
    if not torch.equal(mask.bool(), mask_of(lengths, mask.shape[1])):
        raise ValueError("the attention mask must be 1 up to each row's length and 0 behind it: pad on the right.")
    return lengths


def mask_of(lengths: Tensor, size: int) -> Tensor:
    """(batch, size) bool, true for what is real.

    >>> mask_of(torch.tensor([2, 3]), 3).long()
    tensor([[1, 1, 0],
            [1, 1, 1]])
    """
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def _tell_lengths(body: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    mask = args[1] if len(args) > 1 else kwargs.get("attention_mask")
    extractor = body.get_submodule("feature_extractor")
    if isinstance(extractor, FeatureExtractor):
        extractor.lengths = None if mask is None else lengths_of(mask)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
