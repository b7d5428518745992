"""Our interface in other toolkits' hands: what their plugs share, and what a pipeline promises as a plain nn.Module.

The contract of a pipeline, or of any layer that takes a waveform, towards torch itself:

    call         pipe(wav) -> frames;  pipe(wav, lengths) -> (frames, counts)       nothing else is returned, ever
    shapes       wav (batch, samples), any batch, any samples >= 0; frames (batch, num_frames(samples), output_dim)
    lengths      int64 (batch,) valid samples; counts int64 (batch,), exactly num_frames(lengths); frames past them: 0
    padding      what lies behind a row's length may be anything, NaN too: it changes no frame, gradient or statistic
    state dict   what was learned or measured, under the names of the stages; constants (windows, bases, mel bands)
                 follow from the constructor's arguments and are not in it
    train, eval  `from_preset` and `load` give eval(). train() matters to Dropout and BatchNorm alone
    dtype        input and weights have one floating type, else TypeError; .double() after construction is exact;
                 under autocast the weights stay what they are and the frames may come out narrower
    device       all follows .to(device); wav and lengths must be there too
    gradients    reach every parameter and the waveform; forward keeps no state (but BatchNorm's running averages, in
                 training), so it may be called twice before one backward, checkpointed, or copied (deepcopy, pickle)
    DDP          every parameter takes part in every forward: find_unused_parameters is not needed. A pipeline without
                 parameters (fixed log-mel) is refused by DDP itself: put it in the model that DDP wraps. BatchNorm
                 counts each process's own frames, and SyncBatchNorm.convert_sync_batchnorm does not know it
    FSDP         fully_shard takes contiguous parameters only; ours lie in memory as a product reads them. First say
                 `parameter.data = parameter.data.contiguous()` to each: the same frames, but for their rounding
    not promised torch.jit.script; export goes by `Streamer`

A plug wraps such a module in a toolkit's own call, maps names, axes and lengths, and nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from torch import nn

from speechconv.frontend.stft import ConvSTFT
from speechconv.layer import Layer
from speechconv.layout import WAVEFORM
from speechconv.pipeline import open_pipeline

Source = str | os.PathLike[str] | Layer
"""A preset's name, a pipeline's file (.toml, .safetensors), the folder of a training run, or the module itself."""


class Plug(nn.Module):
    """An encoder behind another toolkit's call. Its state dict is the encoder's own, without a prefix, so that what a
    toolkit saves of the plug can be loaded into the encoder alone, and the other way round.

    Args:
        encoder: a Pipeline, or a layer that takes a waveform, such as FeatureEncoder; held, not copied.

    Attributes:
        encoder: the same.
        output_dim: channels of a frame.

    Raises:
        TypeError, ValueError: as `check_encoder`.

    Example:
        >>> import speechconv as sc
        >>> encoder = sc.FeatureEncoder(channels=8)
        >>> Plug(encoder).state_dict().keys() == encoder.state_dict().keys()
        True
    """

    def __init__(self, encoder: Layer) -> None:
        super().__init__()
        self.encoder = check_encoder(encoder)
        self.register_state_dict_post_hook(_without_prefix)
        self.register_load_state_dict_pre_hook(_with_prefix)

    def __getattr__(self, name: str) -> Any:
        """The encoder's attributes are the plug's: torch.distributed.checkpoint follows the state dict's names here."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "encoder":
                raise
            return getattr(self.encoder, name)

    @property
    def output_dim(self) -> int:
        return self.encoder.channels_after(WAVEFORM)


def check_encoder(encoder: object) -> Layer:
    """`encoder` as it is.

    Raises:
        TypeError: not a layer of speechconv.
        ValueError: a layer that takes frames, or gives complex ones.

    >>> import speechconv as sc
    >>> check_encoder(sc.Log())
    Traceback (most recent call last):
    ValueError: an encoder must take a waveform, and Log takes frames; put it behind a front-end, in a Pipeline.
    """
    if not isinstance(encoder, Layer):
        raise TypeError(
            "expected a Pipeline, or a layer of speechconv that takes a waveform, such as FeatureEncoder; got "
            f"{type(encoder).__name__}."
        )
    if encoder.in_channels != WAVEFORM:
        raise ValueError(
            f"an encoder must take a waveform, and {type(encoder).__name__} takes frames; put it behind a front-end, "
            "in a Pipeline."
        )
    *_, last = encoder.modules()
    if isinstance(last, ConvSTFT) and last.output == "complex":
        raise ValueError("the encoder gives complex frames, which no toolkit takes; set output='power' of its stft.")
    return encoder


def open_encoder(source: Source, overrides: Mapping[str, Any] | None = None) -> Layer:
    """The encoder of that name, in that file, or as it is.

    Args:
        source: a preset such as "logmel", FILE.toml, FILE.safetensors, a training run's folder, or the module itself.
        overrides: other values for the keys of a preset or TOML, as `Pipeline.from_preset` takes them.

    Raises:
        ValueError, FileNotFoundError: as `open_pipeline`; overrides of a module that is built already.
        TypeError, ValueError: as `check_encoder`.

    >>> open_encoder("logmel", {"mel": {"n_mels": 40}}).output_dim
    40
    """
    if isinstance(source, str | os.PathLike):
        return check_encoder(open_pipeline(source, overrides))
    if overrides:
        raise ValueError(f"{type(source).__name__} is built already; drop the overrides {', '.join(overrides)}.")
    return check_encoder(source)


def _without_prefix(plug: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
    for key in [key for key in state if key.startswith(f"{prefix}encoder.")]:
        state[prefix + key.removeprefix(f"{prefix}encoder.")] = state.pop(key)


def _with_prefix(plug: nn.Module, state: dict[str, Any], prefix: str, *others: Any) -> None:
    for key in [key for key in state if key.startswith(prefix)]:
        state[f"{prefix}encoder.{key.removeprefix(prefix)}"] = state.pop(key)
