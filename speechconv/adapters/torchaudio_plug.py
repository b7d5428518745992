"""Encoders in torchaudio's models.

    Wav2Vec2Model       feature_extractor(x, length) -> (frames, counts or None): `plug` puts a `FeatureExtractor` there
    Conformer           takes (frames, counts) as a pipeline gives them: conformer(*pipe(wav, lengths)), no plug needed

What torchaudio itself does not take:
    both                a batch without a single frame
    Conformer           a batch whose rows are all shorter than the tensor: cut the frames to counts.max()
Its Conformer's convolution modules do not mask, so that behind our frames a row in a padded batch is not the row alone.
"""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from speechconv.adapters.plug import Plug
from speechconv.layer import Layer

Model = TypeVar("Model", bound=nn.Module)


class FeatureExtractor(Plug):
    """`torchaudio.models.Wav2Vec2Model.feature_extractor` by one of our encoders.

    Shape:
        (batch, samples) -> (batch, frames, output_dim)

    Example:
        >>> import speechconv as sc
        >>> extractor = FeatureExtractor(sc.FeatureEncoder(channels=8))
        >>> y, frames = extractor(torch.randn(2, 1000), torch.tensor([1000, 500]))
        >>> y.shape, frames
        (torch.Size([2, 2, 8]), tensor([2, 1]))
    """

    def forward(self, x: Tensor, length: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Frames and the valid ones of each row; None where no `length` is given.

        Args:
            x: (batch, samples).
            length: (batch,) valid samples, any integers.
        """
        return (self.encoder(x), None) if length is None else self.encoder(x, length.to(torch.int64))


def plug(model: Model, encoder: Layer) -> Model:
    """Put an encoder into a Wav2Vec2Model, or into what wraps one (HuBERTPretrainModel).

    Args:
        model: changed.
        encoder: a Pipeline, or a layer that takes a waveform; held, not copied.

    Returns:
        The same model. With a FeatureEncoder its state dict has the names that it had.

    Raises:
        TypeError: another model; an encoder that is none.
        ValueError: an encoder of another width than the model's feature projection takes.
        ImportError: torchaudio does not load.

    Example:
        >>> import speechconv as sc
        >>> from torchaudio.models import wav2vec2_model
        >>> convs = [(8, 10, 5)] + [(8, 3, 2)] * 4 + [(8, 2, 2)] * 2
        >>> model = wav2vec2_model("group_norm", convs, False, 16, 0, 128, 2, 1, 2, 0, 8, 0, 0, False, 0, 5)
        >>> logits, frames = plug(model, sc.FeatureEncoder(channels=8))(torch.randn(1, 16000))
        >>> logits.shape
        torch.Size([1, 49, 5])
    """
    inner: Any = getattr(model, "wav2vec2", model)
    if not isinstance(inner, import_torchaudio().models.Wav2Vec2Model):
        raise TypeError(f"expected a torchaudio.models.Wav2Vec2Model, got {type(model).__name__}.")
    extractor = FeatureExtractor(encoder)
    width = inner.encoder.feature_projection.projection.in_features
    if extractor.output_dim != width:
        raise ValueError(
            f"the model projects frames of {width} channels, the encoder gives {extractor.output_dim}; make one of "
            "them as wide as the other."
        )
    inner.feature_extractor = extractor
    return model


def import_torchaudio() -> Any:
    try:
        import torchaudio
    except (ImportError, OSError) as error:
        raise ImportError(
            f"torchaudio does not load ({error}); it must be built for this torch, {torch.__version__}: install both "
            "from one place, or pass the model's state_dict()."
        ) from None
    return torchaudio
