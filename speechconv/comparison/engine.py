"""compare: the same samples through a pipeline and through another library."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from speechconv.audio.waveform import Waveform
from speechconv.checks import check_choice, check_count, check_number
from speechconv.comparison.measure import distance
from speechconv.comparison.result import Comparison
from speechconv.comparison.scale import Array
from speechconv.pipeline import Pipeline, open_pipeline

Against = Literal["librosa"]
FLOATS = (torch.float32, torch.float64)


def compare(
    wav: Any,
    sample_rate: int,
    *,
    pipeline: str | os.PathLike[str] | Pipeline = "logmel",
    against: Against = "librosa",
    overrides: Mapping[str, Any] | None = None,
    tolerance: float = 1e-5,
    tolerance_db: float = 0.01,
    dtype: torch.dtype = torch.float32,
) -> Comparison:
    """Features of `wav` beside those that librosa, told the same settings, computes in float64.

    Args:
        wav: (samples,) array or tensor; integers are scaled to -1 ... 1. Both sides get the same samples.
        sample_rate: of `wav`, Hz; another than the pipeline's is resampled, as `extract` does.
        pipeline: preset name, .toml or .safetensors file, or a pipeline, which is left as it is.
        against: "librosa".
        overrides: other values for a preset's keys.
        tolerance: the largest difference that passes, of the peak, >= 0.
        tolerance_db: of logarithms also the largest difference of level that passes, in dB, within 70 dB of the peak,
            >= 0: a wrong floor or base is small beside the peak of what lies below the logarithm.
        dtype: torch.float32 or torch.float64, of our side.

    Raises:
        ValueError: a stage that librosa has no equal for (the message names it), samples that are not finite or too
            few for one frame, other frame counts, or an argument outside its range.
        FileNotFoundError: no such pipeline file.

    Example:
        >>> wav = np.random.default_rng(0).uniform(-0.5, 0.5, 16000)
        >>> result = compare(wav, 16000, dtype=torch.float64)
        >>> result.passed, result.frames, result.channels, result.max_abs < 1e-12
        (True, 101, 80, True)
    """
    pipe = comparable(pipeline, against=against, overrides=overrides, tolerance=tolerance, dtype=dtype)
    samples = _resampled(_samples(wav), check_count("sample_rate", sample_rate), pipe.sample_rate)
    samples = samples.astype(np.float32 if dtype == torch.float32 else np.float64)
    return _compared(pipe, samples, against, tolerance, check_number("tolerance_db", tolerance_db, least=0))


def comparable(
    pipeline: str | os.PathLike[str] | Pipeline,
    *,
    against: Against,
    overrides: Mapping[str, Any] | None,
    tolerance: float,
    dtype: torch.dtype,
) -> Pipeline:
    """A copy of the pipeline, ready to be compared; arguments and errors as `compare`."""
    from speechconv.comparison.librosa import check_equals

    check_choice("against", against, get_args(Against))
    check_choice("dtype", dtype, FLOATS)
    if not tolerance >= 0:
        raise ValueError(f"tolerance (={tolerance}) must be >= 0; it is a share of the peak.")
    if isinstance(pipeline, Pipeline):
        if overrides:
            raise ValueError("overrides build a pipeline, this one is built; pass its name or file.")
        pipe = copy.deepcopy(pipeline)
    else:
        pipe = open_pipeline(pipeline, overrides)
    check_equals(pipe)
    return pipe.eval().to(dtype)


def _compared(pipe: Pipeline, wav: NDArray[Any], against: Against, tolerance: float, tolerance_db: float) -> Comparison:
    from speechconv.comparison.librosa import rebuild

    if not pipe.output_lengths(len(wav)):
        raise ValueError(
            f"{len(wav)} samples at {pipe.sample_rate} Hz are too few for one frame; it takes "
            f"{pipe.geometry.emitted_at(0)}."
        )
    with torch.no_grad():
        ours = _wide(pipe(torch.from_numpy(wav)[None])[0].numpy())
    theirs = rebuild(pipe, wav.astype(np.float64))
    reference = theirs.values.T
    if ours.shape != reference.shape:
        raise ValueError(
            f"speechconv gives {ours.shape[0]} frames of {ours.shape[1]} channels, {against} {reference.shape[0]} of "
            f"{reference.shape[1]}; they cannot be laid side by side."
        )
    found = distance(ours, reference, theirs.scale)
    seconds = _middles(pipe, len(ours))
    return Comparison(
        against=against,
        scale_name=theirs.scale.name,
        sample_rate=pipe.sample_rate,
        frames=ours.shape[0],
        channels=ours.shape[1],
        worst_seconds=float(seconds[found.worst_frame]),
        worst_hz=None if theirs.hertz is None else float(theirs.hertz[found.worst_bin]),
        tolerance=tolerance,
        tolerance_db=tolerance_db,
        passed=found.max_abs <= tolerance
        and (theirs.scale.slope is None or found.max_db is None or found.max_db <= tolerance_db),
        features=ours,
        reference=reference,
        seconds=seconds,
        hertz=theirs.hertz,
        scale=theirs.scale,
        **asdict(found),
    )


def _middles(pipe: Pipeline, frames: int) -> NDArray[np.float64]:
    """The middle of each frame's receptive field, in seconds; of a centred frame t, t hop_length."""
    g = pipe.geometry
    return (np.arange(frames) * g.stride - g.pad_left + g.receptive_field // 2) / pipe.sample_rate


def _wide(x: NDArray[Any]) -> Array:
    return x.astype(np.complex128 if np.iscomplexobj(x) else np.float64)


def _samples(wav: Any) -> NDArray[Any]:
    """`wav` as a floating array of shape (samples,), all finite."""
    x = wav.detach().cpu().numpy() if isinstance(wav, torch.Tensor) else np.asarray(wav)
    if x.ndim != 1:
        raise ValueError(f"expected a waveform of shape (samples,), got {x.shape}; pass one channel at a time.")
    if np.issubdtype(x.dtype, np.signedinteger):
        x = x / -float(np.iinfo(x.dtype).min)
    if not np.issubdtype(x.dtype, np.floating):
        raise TypeError(f"expected floating or signed integer samples, got {x.dtype}.")
    if not np.isfinite(x).all():
        sample = int(np.argmin(np.isfinite(x)))
        raise ValueError(f"sample {sample} of the waveform is {x[sample]}; every sample must be a finite number.")
    return x


@dataclass
class _Held:
    """Samples in memory as a source of sound."""

    samples: NDArray[np.float32]
    sample_rate: int
    channels: int = 1

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        if len(self.samples):
            yield self.samples[:, None]


def _resampled(x: NDArray[Any], sample_rate: int, wanted: int) -> NDArray[Any]:
    if sample_rate == wanted:
        return x
    source = _Held(x.astype(np.float32), sample_rate)
    return np.concatenate([*Waveform(source, sample_rate=wanted).blocks(), np.zeros(0, np.float32)])
