"""A pipeline as NeMo's preprocessor: `input_signal`, `length` -> (batch, channels, frames) and lengths, with gradients.

NeMo's own preprocessors compute without gradients, and a model's config may name no others. So a model is built, or
restored, with one of them, and gets this one behind; a .nemo file then holds its weights, but does not build it:

    model = EncDecCTCModel(cfg)                      model = EncDecCTCModel.restore_from("model.nemo", strict=False)
    model.preprocessor = Preprocessor(pipe)          model.preprocessor = Preprocessor("front.safetensors")
    model.save_to("model.nemo")
    pipe.save("front.safetensors")

What NeMo itself does not take:
    arguments without their names       TypeError, of its typecheck
    (batch, samples, channels)          TypeError, likewise: choose a channel when the files are read (channel_selector)
    a batch without a frame             RuntimeError of its encoder's subsampling; a row without one is fine
    this class as a config's _target_   UnsafeTargetError
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from speechconv.adapters.plug import Plug, Source, open_encoder
from speechconv.layer import placement

try:
    from nemo.core.classes import NeuralModule, typecheck  # pyright: ignore[reportMissingImports] - its own venv
    from nemo.core.neural_types import (  # pyright: ignore[reportMissingImports] - its own venv
        AudioSignal,
        LengthsType,
        NeuralType,
        SpectrogramType,
    )
except ImportError as error:
    raise ImportError(
        f"nemo does not load ({error}); pip install 'nemo_toolkit[asr]', 3.0 or newer, in a venv of its own."
    ) from None


class Preprocessor(Plug, NeuralModule):
    """A pipeline, or a layer that takes a waveform, in the place of NeMo's AudioPreprocessor.

    Args:
        source: a preset such as "logmel", FILE.toml, FILE.safetensors, a training run's folder, or the module itself.
        overrides: other values for the keys of a preset or TOML: {"mel": {"n_mels": 40}}.

    Shape:
        input_signal (batch, samples) -> (batch, output_dim, frames), not filled up to 16 frames as by NeMo's default

    Raises:
        TypeError, ValueError, FileNotFoundError: as `plug.open_encoder`.

    It computes in the type of its weights, and tells NeMo its sample rate, to which files are brought.

    Source: NeMo 3.0, nemo/collections/asr/modules/audio_preprocessing.py.

    Example:
        >>> preprocessor = Preprocessor("logmel", {"mel": {"n_mels": 40}})
        >>> frames, counts = preprocessor(input_signal=torch.zeros(2, 16000), length=torch.tensor([16000, 8000]))
        >>> frames.shape, counts
        (torch.Size([2, 40, 101]), tensor([101,  51]))
    """

    def __init__(self, source: Source, overrides: Mapping[str, Any] | None = None) -> None:
        super().__init__(open_encoder(source, overrides))

    @property
    def _sample_rate(self) -> Any:
        """Where NeMo looks for it, if there is one."""
        return self.encoder.sample_rate

    @property
    def input_types(self) -> dict[str, NeuralType]:
        return {"input_signal": NeuralType(("B", "T"), AudioSignal()), "length": NeuralType(("B",), LengthsType())}

    @property
    def output_types(self) -> dict[str, NeuralType]:
        return {
            "processed_signal": NeuralType(("B", "D", "T"), SpectrogramType()),
            "processed_length": NeuralType(("B",), LengthsType()),
        }

    @typecheck()
    def forward(self, input_signal: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Frames, those past a row's length 0, and the (batch,) int64 frames of each row.

        Args:
            input_signal: (batch, samples).
            length: (batch,) valid samples of each row, of any integer type.
        """
        own = placement(self.encoder)
        frames, counts = self.encoder(input_signal.to(own[0] if own else torch.float32), length.to(torch.int64))
        return frames.mT, counts
