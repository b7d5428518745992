"""A pipeline as lhotse's feature extractor: for `CutSet.compute_and_store_features`, `OnTheFlyFeatures` and YAML.

lhotse takes the number of frames for granted, whoever computes them:

    frames(N) = (N + S // 2) // S          ours: (N + P_l + P_r - R) // S + 1, equal for every N where

    P_l + P_r + r = R - S + S // 2

So r more zeros stand behind the signal: the frames that the pipeline has anyway stay as they are, and one or a few come
after. Where the pads are more than that already (a centred STFT), one frame may be too many, the last; it is left out.
The zeros are samples like any other: statistics of the utterance count them.

lhotse pads batches of features with log(1e-10) = -23, which suits log-mel alone. `ZeroPadded` is its OnTheFlyFeatures
with 0; stored features are padded so by `cuts.pad(pad_feat_value=0.0)`.

What lhotse itself does not take:
    a cut without a frame               shorter than S - S // 2 samples: AssertionError when its features are stored
    a mix of stored features            ValueError; mix the waveforms

Its command line knows "speechconv" where this module was imported:

    python -c "import speechconv.adapters.lhotse; from lhotse.bin.modes import cli; cli()" feat extract ...
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from speechconv.adapters.plug import check_encoder
from speechconv.extraction.pipelines import named_pipeline
from speechconv.layer import Layer
from speechconv.layout import pad, zero_past
from speechconv.pipeline import Pipeline

try:
    from lhotse.dataset.input_strategies import OnTheFlyFeatures
    from lhotse.features.base import FeatureExtractor, register_extractor
except ImportError as error:
    raise ImportError(f"lhotse does not load ({error}); pip install 'speechconv[lhotse]', 1.33 or newer.") from None


@dataclass
class ExtractorConfig:
    """What the YAML of an `Extractor` holds; the words of `speechconv extract`.

    Args:
        pipeline: preset, .toml or .safetensors file, or a training run's folder.
        overrides: other values for a preset's or TOML file's keys, {"mel.n_mels": 40}.
        random_weights: seed for a pipeline that has no weights of its own; None refuses it.
        device: "cpu", "cuda" or "cuda:N".

    Example:
        >>> ExtractorConfig.from_dict({"pipeline": "kaldi-fbank"}).to_dict()
        {'pipeline': 'kaldi-fbank', 'overrides': {}, 'random_weights': None, 'device': 'cpu'}
    """

    pipeline: str = "logmel"
    overrides: dict[str, Any] = field(default_factory=dict)
    random_weights: int | None = None
    device: str = "cpu"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(data: dict[str, Any]) -> ExtractorConfig:
        return ExtractorConfig(**data)


@register_extractor
class Extractor(FeatureExtractor):
    """A pipeline for lhotse, in float32 and without gradients: filters learn where lhotse's `AudioSamples` gives its
    batches to the pipeline itself.

    Args:
        config: names the pipeline; None: log-mel.

    Shape:
        (samples,) or (1, samples) -> (frames, features); frames = (samples + hop // 2) // hop, for every length from 0

    Raises:
        ValueError: a pipeline that is none, has no weights, gives complex frames, or cannot keep lhotse's number of
            frames (`zeros_behind`); cuts of another sample rate, or of several channels.
        FileNotFoundError: no such file.
        TypeError: integer samples.

    Source: lhotse 1.33, features/base.py, qa.py validate_features, utils.py compute_num_frames.

    Example:
        >>> extractor = Extractor(ExtractorConfig("logmel", {"mel.n_mels": 40}))
        >>> extractor.extract(np.zeros((1, 16000), np.float32), 16000).shape, extractor.frame_shift
        ((100, 40), 0.01)
    """

    name = "speechconv"
    config_type = ExtractorConfig
    config: ExtractorConfig

    def __init__(self, config: ExtractorConfig | None = None) -> None:
        super().__init__(config)
        c = self.config
        self.pipe = named_pipeline(c.pipeline, c.overrides, c.random_weights).float().to(c.device)
        check_encoder(self.pipe)
        self.zeros = zeros_behind(self.pipe)

    @property
    def device(self) -> str:
        return self.config.device

    @property
    def frame_shift(self) -> float:
        return self.pipe.hop_length / self.pipe.sample_rate

    def feature_dim(self, sampling_rate: int) -> int:
        return self.pipe.output_dim

    def extract(self, samples: Any, sampling_rate: int) -> Any:
        """One signal, (samples,) or (1, samples); torch in, torch out."""
        return self.extract_batch([samples], sampling_rate)[0]

    def extract_batch(self, samples: Any, sampling_rate: int, lengths: Any = None) -> Any:
        """Several signals, a list or the rows of a padded batch, `lengths` samples of each; each as if it were alone.

        Args:
            samples: arrays or tensors, (samples,) or (1, samples) each, or (batch, samples).
            sampling_rate: theirs, Hz.
            lengths: (batch,) valid samples of each row; None: all.

        Returns:
            As lhotse's own: a list of (frames, features), one array where all are of one shape, and of one signal that
            was no list its features alone.
        """
        if sampling_rate != self.pipe.sample_rate:
            raise ValueError(
                f"{self.config.pipeline} is for {self.pipe.sample_rate} Hz, got {sampling_rate} Hz; "
                f"cuts.resample({self.pipe.sample_rate}) makes cuts that fit."
            )
        listed = isinstance(samples, list | tuple)
        signals = list(samples) if listed or samples.ndim > 1 else [samples]
        rows = [_row(signal) for signal in signals]
        if lengths is not None:
            rows = [row[:length] for row, length in zip(rows, lengths, strict=True)]
        features = self._features(rows)
        if not any(isinstance(signal, Tensor) for signal in signals):
            features = [row.numpy() for row in features]
        if len(features) == 1:
            return features if listed else features[0]
        if len({row.shape for row in features}) > 1:
            return features
        return torch.stack(features) if isinstance(features[0], Tensor) else np.stack(features)

    @torch.no_grad()
    def _features(self, rows: list[Tensor]) -> list[Any]:
        lengths = torch.tensor([len(row) for row in rows], device=self.device)
        padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(self.device)
        y, _ = self.pipe(pad(padded, 0, self.zeros), lengths + self.zeros)
        hop = self.pipe.hop_length
        return [row[:count] for row, count in zip(y.cpu(), (lengths + hop // 2) // hop, strict=True)]


class ZeroPadded(OnTheFlyFeatures):
    """lhotse's OnTheFlyFeatures, its padding 0 instead of -23.

    Example:
        >>> strategy = ZeroPadded(Extractor())  # for K2SpeechRecognitionDataset(input_strategy=strategy)
    """

    def __call__(self, cuts: Any, recording_field: str | None = None) -> Any:
        features, lengths, *rest = super().__call__(cuts, recording_field)
        return zero_past(features, lengths), lengths, *rest


def zeros_behind(pipe: Pipeline) -> int:
    """Zeros behind the signal with which `pipe` gives (samples + hop // 2) // hop frames, or one more.

    Raises:
        ValueError: frames of another rule (MinimumLength), or mirrored pads, which would mirror the zeros.

    Example:
        >>> zeros_behind(Pipeline.from_preset("kaldi-fbank")), zeros_behind(Pipeline.from_preset("logmel"))
        (320, 0)
    """
    g = pipe.geometry
    rule = f"lhotse expects (samples + {g.stride // 2}) // {g.stride} frames"
    for name, layer in pipe.named_modules():
        if isinstance(layer, Layer) and layer.resizes:
            raise ValueError(
                f"{rule}, and {type(layer).__name__} (stage {name!r}) makes another number of them; leave it out."
            )
    missing = max(0, g.receptive_field - g.stride + g.stride // 2 - g.pad_left - g.pad_right)
    if missing and g.mirror:
        raise ValueError(
            f"{rule}, for which {missing} samples are missing at the end; zeros there would be mirrored instead of the "
            "signal. Use pad_mode='constant' or snip_edges=True."
        )
    return missing


def _row(samples: Any) -> Tensor:
    """(samples,) or (1, samples), an array or a tensor, as float32 (samples,)."""
    row = torch.as_tensor(samples)
    if row.ndim == 2 and len(row) == 1:
        row = row[0]
    if row.ndim != 1:
        raise ValueError(
            f"expected one channel, (samples,) or (1, samples), got {tuple(row.shape)}; lhotse's cut.to_mono() takes "
            "channels apart."
        )
    if not row.is_floating_point():
        raise TypeError(f"expected floating samples, got {row.dtype}; int16: samples / 32768.")
    return row.float()
