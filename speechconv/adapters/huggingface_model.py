"""A pipeline as a model of transformers: config, model and feature extractor, known to the Auto classes.

    SpeechconvConfig              model_type "speechconv"; the pipeline's TOML is the one setting
    SpeechconvModel               input_values, attention_mask -> last_hidden_state (batch, frames, channels), its mask
    SpeechconvFeatureExtractor    waveforms -> padded input_values, attention_mask

Importing this file registers them (`from speechconv.adapters.huggingface import SpeechconvModel` does), and then

    SpeechconvModel.of(pipe).save_pretrained(folder)
    SpeechconvFeatureExtractor(sampling_rate=pipe.sample_rate).save_pretrained(folder)
    model, extractor = AutoModel.from_pretrained(folder), AutoFeatureExtractor.from_pretrained(folder)

gives the same bits back, without a network. What transformers itself does not take: padding before the samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from speechconv.adapters.huggingface_plug import lengths_of, mask_of
from speechconv.exact import ExactConstants
from speechconv.layer import placement
from speechconv.pipeline import Pipeline

try:
    from transformers import (
        AutoConfig,
        AutoFeatureExtractor,
        AutoModel,
        PreTrainedConfig,
        PreTrainedModel,
        Wav2Vec2FeatureExtractor,
    )
    from transformers.utils.generic import ModelOutput
except ImportError as error:
    raise ImportError(
        f"transformers does not load ({error}); pip install 'speechconv[transformers]', 5.0 or newer."
    ) from None


class SpeechconvConfig(PreTrainedConfig):
    """The settings of a SpeechconvModel.

    Args:
        pipeline: its TOML, as `Pipeline.to_toml` writes it.

    Attributes:
        hidden_size: channels of a frame; the model writes it, as transformers' own code looks for it here.
        sampling_rate: Hz; the same.

    Example:
        >>> config = SpeechconvConfig(pipeline=Pipeline.from_preset("logmel").to_toml())
        >>> SpeechconvModel(config).config.hidden_size
        80
    """

    model_type = "speechconv"
    pipeline: str = ""
    hidden_size: int | None = None
    sampling_rate: int | None = None


@dataclass
class SpeechconvOutput(ModelOutput):
    """What a SpeechconvModel gives.

    Attributes:
        last_hidden_state: (batch, frames, channels); frames past a row's length are 0.
        attention_mask: (batch, frames) bool, true for valid frames; None where none came in.
    """

    last_hidden_state: Tensor | None = None
    attention_mask: Tensor | None = None


class SpeechconvModel(PreTrainedModel):
    """A pipeline as a model of transformers.

    Args:
        config: with the pipeline's TOML; weights are drawn anew. `SpeechconvModel.of(pipe)` keeps a pipeline's own.

    Shape:
        (batch, samples) -> (batch, frames, channels)

    Raises:
        ValueError: a TOML that is none.

    Example:
        >>> import speechconv as sc
        >>> pipe = sc.Pipeline([sc.FeatureEncoder(channels=8)], sample_rate=16000)
        >>> y = SpeechconvModel.of(pipe)(torch.randn(2, 1000), torch.tensor([[1] * 1000, [1] * 500 + [0] * 500]))
        >>> y.last_hidden_state.shape, y.attention_mask
        (torch.Size([2, 2, 8]), tensor([[ True,  True],
                [ True, False]]))
    """

    config_class = SpeechconvConfig
    base_model_prefix = "speechconv"
    main_input_name = "input_values"
    _keep_in_fp32_modules_strict = ("frozen_mean", "frozen_var")  # pyright: ignore[reportAssignmentType] - any names

    def __init__(self, config: SpeechconvConfig) -> None:
        super().__init__(config)
        with torch.device("cpu"):  # from_pretrained builds on "meta", where nothing has a value
            self.pipeline = Pipeline.from_toml(config.pipeline)
            if not self.pipeline.state_dict():  # transformers writes no file of weights without one
                self.register_buffer("no_weights", torch.zeros(1))
        config.hidden_size, config.sampling_rate = self.pipeline.output_dim, self.pipeline.sample_rate
        self.post_init()

    @classmethod
    def of(cls, pipe: Pipeline) -> SpeechconvModel:
        """A model of that very pipeline: held, not copied."""
        with torch.random.fork_rng(devices=[]):  # what is drawn for the weights is not used
            model = cls(SpeechconvConfig(pipeline=pipe.to_toml()))
        model.pipeline = pipe
        return model.train(pipe.training)

    @classmethod
    def from_pretrained(cls, *args: Any, output_loading_info: bool = False, **kwargs: Any) -> Any:
        """As transformers', but a folder that lacks weights of the pipeline is an error, not noise.

        Raises:
            ValueError: missing or extra weights, all of them named.
        """
        with torch.random.fork_rng(devices=[]):  # what is drawn for the weights is overwritten
            loaded: Any = super().from_pretrained(*args, output_loading_info=True, **kwargs)
            model, info = loaded
            pipe = Pipeline.from_toml(model.config.pipeline).to(model.device, model.dtype)
        faults = [
            f"{kind}: {', '.join(sorted(info[kind]))}" for kind in ("missing_keys", "unexpected_keys") if info[kind]
        ]
        if faults:
            raise ValueError("\n  ".join(("the weights do not fit the config's pipeline:", *faults)))
        pipe.load_state_dict(model.pipeline.state_dict())  # in the order in memory that gives the same bits
        model.pipeline = pipe
        return (model, info) if output_loading_info else model

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights, or of the constants of a pipeline that has none; transformers' own asks for a parameter."""
        own = placement(self.pipeline)
        return own[0] if own else torch.get_default_dtype()

    @property
    def device(self) -> torch.device:
        """Where they are."""
        own = placement(self.pipeline)
        return own[1] if own else torch.device("cpu")

    def _init_weights(self, module: nn.Module) -> None:
        """A pipeline draws its weights itself; transformers has overwritten its constants, which are made anew here."""
        if isinstance(module, ExactConstants):
            module._apply(lambda tensor: tensor)

    def forward(
        self, input_values: Tensor, attention_mask: Tensor | None = None, return_dict: bool | None = None
    ) -> SpeechconvOutput | tuple[Any, ...]:
        """Frames of a batch of waveforms.

        Args:
            input_values: (batch, samples).
            attention_mask: (batch, samples), 1 where a sample is real; None: everywhere.
            return_dict: False for a plain tuple; None: as the config says.

        Raises:
            ValueError: a mask with padding before the samples, or of another shape.
        """
        if attention_mask is None:
            output = SpeechconvOutput(self.pipeline(input_values))
        else:
            frames, counts = self.pipeline(input_values, lengths_of(attention_mask))
            output = SpeechconvOutput(frames, mask_of(counts, frames.shape[1]))
        wanted = self.config.return_dict if return_dict is None else return_dict
        return output if wanted else output.to_tuple()


class SpeechconvFeatureExtractor(Wav2Vec2FeatureExtractor):
    """Waveforms as they are, padded with zeros on the right, and the mask of what is real.

    Args:
        sampling_rate: Hz that waveforms must have.
        kwargs: as transformers' Wav2Vec2FeatureExtractor.

    Example:
        >>> extractor = SpeechconvFeatureExtractor(sampling_rate=8000)
        >>> batch = extractor([[0.5, 0.5], [0.5]], sampling_rate=8000, padding=True, return_tensors="pt")
        >>> batch["input_values"], batch["attention_mask"]
        (tensor([[0.5000, 0.5000],
                [0.5000, 0.0000]]), tensor([[1, 1],
                [1, 0]], dtype=torch.int32))
    """

    def __init__(self, sampling_rate: int = 16000, **kwargs: Any) -> None:
        super().__init__(sampling_rate=sampling_rate, **{"do_normalize": False, "return_attention_mask": True} | kwargs)


AutoConfig.register(SpeechconvConfig.model_type, SpeechconvConfig, exist_ok=True)
AutoModel.register(SpeechconvConfig, SpeechconvModel, exist_ok=True)
AutoFeatureExtractor.register(SpeechconvConfig, SpeechconvFeatureExtractor, exist_ok=True)
