"""A pipeline as ESPnet's front-end: (batch, samples) and lengths -> (batch, frames, channels) and lengths.

In Python, give a `Frontend` to the model. In a recipe's YAML, name it, once it is among the choices of the task:

    from espnet2.tasks.asr import frontend_choices
    frontend_choices.classes["speechconv"] = Frontend

    frontend: speechconv
    frontend_conf: {source: logmel, overrides: {mel: {n_mels: 40}}}

What ESPnet itself does not take:
    batches of few frames               below 7 for the Conformer's default subsampling: TooShortUttError
    a row without a frame               alone an IndexError; beside others it counts as long as the longest (its
                                        make_pad_mask): drop utterances below `geometry.emitted_at(0)` samples
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from speechconv.adapters.plug import Plug, Source, open_encoder

try:
    from espnet2.asr.frontend.abs_frontend import AbsFrontend  # pyright: ignore[reportMissingImports] - its own venv
except ImportError as error:
    raise ImportError(
        f"espnet2 does not load ({error}); pip install --no-deps espnet, 202511 or newer, and what it imports: "
        "typeguard humanfriendly torch_complex configargparse editdistance ctc_segmentation einops."
    ) from None


class Frontend(Plug, AbsFrontend):
    """A pipeline, or a layer that takes a waveform, as an `AbsFrontend`.

    Args:
        source: a preset such as "logmel", FILE.toml, FILE.safetensors, a training run's folder, or the module itself.
        overrides: other values for the keys of a preset or TOML: {"mel": {"n_mels": 40}}.

    Shape:
        (batch, samples) -> (batch, frames, output_size()); (batch, samples, channels) as ESPnet's DefaultFrontend takes
        it: in training a channel drawn for the whole batch, else the first

    Raises:
        TypeError, ValueError, FileNotFoundError: as `plug.open_encoder`.

    Source: ESPnet 202511, espnet2/asr/frontend/abs_frontend.py, default.py.

    Example:
        >>> frontend = Frontend("logmel", {"mel": {"n_mels": 40}})
        >>> frames, counts = frontend(torch.zeros(2, 16000), torch.tensor([16000, 8000]))
        >>> frames.shape, counts, frontend.output_size()
        (torch.Size([2, 101, 40]), tensor([101,  51]), 40)
    """

    def __init__(self, source: Source, overrides: Mapping[str, Any] | None = None) -> None:
        super().__init__(open_encoder(source, overrides))

    def output_size(self) -> int:
        return self.output_dim

    def forward(self, input: Tensor, input_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Frames, those past a row's length 0, and the (batch,) frames of each row.

        Args:
            input: (batch, samples) or (batch, samples, channels).
            input_lengths: (batch,) int64 valid samples of each row.
        """
        if input.ndim == 3:
            channel = int(torch.randint(input.shape[2], ())) if self.training else 0
            input = input[..., channel]
        return self.encoder(input, input_lengths)
