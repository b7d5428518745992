"""The stages of a pipeline, rebuilt one by one with librosa in float64.

    Preemphasis     librosa.effects.preemphasis     DCT         librosa.feature.mfcc
    MinimumLength   librosa.util.fix_length         Lifter      its formula in there
    ConvSTFT        librosa.stft                    Deltas      librosa.feature.delta
    Mel             librosa.filters.mel             PCEN        librosa.pcen
    Log             librosa.power_to_db, numpy      Affine      numpy

EQUALS maps the class of a stage to the function that rebuilds it. Features are (channels, frames) here, as librosa has
them; DynamicRange is the last line of power_to_db.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

import librosa
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from speechconv.combine import Sequential, named_parts
from speechconv.comparison.scale import AMPLITUDE, OTHER, POWER, Array, Scale
from speechconv.frontend.minimum_length import MinimumLength
from speechconv.frontend.preemphasis import Preemphasis
from speechconv.frontend.stft import ConvSTFT, Learn
from speechconv.layers.affine import Affine
from speechconv.layers.cepstrum import DCT, Lifter
from speechconv.layers.deltas import Deltas
from speechconv.layers.dynamic_range import DynamicRange
from speechconv.layers.mel import Log, Mel
from speechconv.layers.pcen import PCEN
from speechconv.pipeline import Pipeline


@dataclass(frozen=True)
class Features:
    """What a stage takes and gives.

    Args:
        values: (channels, frames), or (samples,) before the first stage.
        sample_rate: Hz.
        scale: how to read them.
        hertz: (channels,) frequency of each channel, where it has one.
    """

    values: Array
    sample_rate: int
    scale: Scale = OTHER
    hertz: NDArray[np.float64] | None = None


Rebuild = Callable[[Any, Features], Features]


def rebuild(pipe: Pipeline, wav: NDArray[np.float64]) -> Features:
    """librosa's features of `wav` (samples,), by the settings of `pipe`.

    Raises:
        ValueError: a stage without an equal; see `check_equals`.
    """
    check_equals(pipe)
    features = Features(wav, pipe.sample_rate)
    with warnings.catch_warnings():  # a short input or an empty mel band: our side has said so, or gives the same
        warnings.filterwarnings("ignore", category=UserWarning, module="librosa|speechconv")
        for name, stage in _stages(pipe):
            try:
                features = EQUALS[type(stage)](stage, features)
            except librosa.ParameterError as error:
                raise ValueError(f"librosa refuses stage {name!r} ({type(stage).__name__}): {error}.") from None
    return features


def check_equals(pipe: Pipeline) -> None:
    """ValueError unless librosa has an equal for every stage of `pipe`; it names the stage and the reason."""
    for name, stage in _stages(pipe):
        reason = _difference(stage)
        if reason:
            raise ValueError(
                f"librosa has no equal for stage {name!r} ({type(stage).__name__}): {reason}; "
                f"compare a pipeline of {', '.join(sorted(kind.__name__ for kind in EQUALS))} alone."
            )


def _stages(layer: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Stages in order, with those inside a Sequential by their path."""
    for name, part in named_parts(layer):
        if type(part) is Sequential:
            yield from _stages(part, f"{path}{name}.")
        else:
            yield f"{path}{name}", part


def _difference(stage: nn.Module) -> str | None:
    """Why librosa cannot do what `stage` does; None where it can."""
    if type(stage) not in EQUALS:
        return "there is no such function"
    match stage:
        case ConvSTFT(learn="freq" | "delta" | "free") if not _is_fourier(stage):
            return f"its kernels (learn={stage.learn!r}) have moved away from the Fourier basis"
        case Mel(scale="kaldi"):
            return "its triangles are linear in mel (scale='kaldi'), librosa's in Hz"
        case Mel(learn=True) if bool(stage.bank_delta.any()):
            return "its matrix has learned"
        case Deltas(rule="kaldi"):
            return "rule='kaldi' takes differences of differences, librosa derivatives of polynomials"
        case Lifter(kind="kaldi"):
            return "kind='kaldi' weighs coefficient i as librosa weighs i - 1"
    return None


def _is_fourier(stft: ConvSTFT) -> bool:
    settings: dict[str, Any] = {"win_length": stft.win_length, "window": stft.window, "periodic": stft.periodic}
    start = ConvSTFT(stft.n_fft, learn=cast(Learn, stft.learn), **settings)
    return all(
        torch.equal(now, begun.to(now)) for now, begun in zip(stft.parameters(), start.parameters(), strict=True)
    )


def _stft(stft: ConvSTFT, x: Features) -> Features:
    settings: dict[str, Any] = {
        "n_fft": stft.n_fft,
        "hop_length": stft.hop_length,
        "center": stft.center,
        "pad_mode": stft.pad_mode,
        "dtype": np.complex128,
    }
    spectrum: Array = librosa.stft(np.real(x.values), **settings, **_window(stft))
    spectrum = spectrum[:, :-1] if stft.drop_last else spectrum
    hertz = librosa.fft_frequencies(sr=x.sample_rate, n_fft=stft.n_fft)
    x = replace(x, scale=AMPLITUDE, hertz=hertz)
    match stft.output:
        case "complex":
            return replace(x, values=spectrum)
        case "magnitude":
            return replace(x, values=np.abs(spectrum))
        case "power":
            return replace(x, values=np.abs(spectrum) ** 2, scale=POWER)
    return replace(x, values=np.concatenate((np.real(spectrum), np.imag(spectrum))), hertz=np.tile(hertz, 2))


def _window(stft: ConvSTFT) -> dict[str, Any]:
    """window and win_length as librosa.stft takes them; it can name periodic windows only."""
    if stft.learn == "window":  # the real part of the filter at 0 Hz
        return {"window": stft.kernel[0].detach().double().numpy(), "win_length": stft.n_fft}
    if stft.periodic:
        return {"window": stft.window, "win_length": stft.win_length}
    length = stft.n_fft if stft.win_length is None else stft.win_length
    return {"window": librosa.filters.get_window(stft.window, length, fftbins=False), "win_length": length}


def _mel(mel: Mel, x: Features) -> Features:
    f_max = mel.sample_rate / 2 if mel.f_max is None else mel.f_max
    htk = mel.scale == "htk"
    settings: dict[str, Any] = {"n_mels": mel.n_mels, "fmin": mel.f_min, "fmax": f_max, "htk": htk, "norm": mel.norm}
    bank = librosa.filters.mel(sr=mel.sample_rate, n_fft=mel.n_fft, dtype=np.float64, **settings)
    corners = librosa.mel_frequencies(mel.n_mels + 2, fmin=mel.f_min, fmax=f_max, htk=htk)
    return replace(x, values=bank @ x.values, hertz=corners[1:-1])


def _log(log: Log, x: Features) -> Features:
    above = x.values + log.floor if log.additive else np.maximum(x.values, log.floor)
    match log.base:
        case "db":
            values = librosa.power_to_db(above, amin=log.floor, top_db=None)
        case "10":
            values = np.log10(above)
        case _:
            values = np.log(above)
    return replace(x, values=values, scale=x.scale.logarithm(log.base))


def _dynamic_range(limit: DynamicRange, x: Features) -> Features:
    return replace(x, values=np.maximum(x.values, np.max(x.values) - limit.top))


def _pcen(pcen: PCEN, x: Features) -> Features:
    with np.errstate(divide="ignore"):  # bias 0 takes the logarithm of silence, and back
        values = librosa.pcen(
            x.values, gain=pcen.gain, bias=pcen.bias, power=pcen.power, b=pcen.smoothing, eps=pcen.eps
        )
    return replace(x, values=values, scale=OTHER)


def _deltas(deltas: Deltas, x: Features) -> Features:
    mode = deltas.rule.removeprefix("librosa-")
    slopes = [
        librosa.feature.delta(x.values, width=deltas.width, order=order, mode=mode)
        for order in range(1, deltas.order + 1)
    ]
    return replace(x, values=np.concatenate((x.values, *slopes)), scale=OTHER, hertz=None)


def _preemphasis(preemphasis: Preemphasis, x: Features) -> Features:
    return replace(x, values=librosa.effects.preemphasis(np.real(x.values), coef=preemphasis.coefficient, zi=[0.0]))


def _minimum_length(least: MinimumLength, x: Features) -> Features:
    return replace(x, values=librosa.util.fix_length(x.values, size=max(x.values.size, least.num_samples)))


def _affine(affine: Affine, x: Features) -> Features:
    return replace(x, values=affine.scale * x.values + affine.offset, scale=x.scale.affine(affine.scale, affine.offset))


def _dct(dct: DCT, x: Features) -> Features:
    return replace(
        x, values=librosa.feature.mfcc(S=x.values, n_mfcc=dct.n_mfcc, norm=dct.norm), scale=OTHER, hertz=None
    )


def _lifter(lifter: Lifter, x: Features) -> Features:
    index = np.arange(1, 1 + len(x.values))
    weights = 1 + lifter.coefficient / 2 * np.sin(np.pi * index / lifter.coefficient)
    return replace(x, values=weights[:, None] * x.values, scale=OTHER)


def _same(_: nn.Module, x: Features) -> Features:
    return x


EQUALS: dict[type[nn.Module], Rebuild] = {
    Preemphasis: _preemphasis,
    MinimumLength: _minimum_length,
    ConvSTFT: _stft,
    Mel: _mel,
    Log: _log,
    DynamicRange: _dynamic_range,
    PCEN: _pcen,
    DCT: _dct,
    Lifter: _lifter,
    Deltas: _deltas,
    Affine: _affine,
    nn.Identity: _same,
}
