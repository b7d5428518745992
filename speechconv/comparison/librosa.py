"""The stages of a pipeline, rebuilt one by one with librosa in float64.

    ConvSTFT -> librosa.stft        Mel -> librosa.filters.mel     Log -> librosa.power_to_db, numpy.log
    DCT -> librosa.feature.mfcc     Lifter -> its formula there

EQUALS maps the class of a stage to the function that rebuilds it. Everything is of shape (channels, frames) here, as
librosa has it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import librosa
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from speechconv.combine import Sequential, named_parts
from speechconv.comparison.scale import AMPLITUDE, OTHER, POWER, Array, Scale
from speechconv.frontend.stft import ConvSTFT
from speechconv.layers.cepstrum import DCT, Lifter
from speechconv.layers.mel import Log, Mel
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
        for _, stage in _stages(pipe):
            features = EQUALS[type(stage)](stage, features)
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
        if isinstance(part, Sequential):
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
        case Lifter(kind="kaldi"):
            return "kind='kaldi' weighs coefficient i as librosa weighs i - 1"
    return None


def _is_fourier(stft: ConvSTFT) -> bool:
    start = ConvSTFT(stft.n_fft, win_length=stft.win_length, window=stft.window, learn=stft.learn)
    return all(
        torch.equal(now, begun.to(now)) for now, begun in zip(stft.parameters(), start.parameters(), strict=True)
    )


def _stft(stft: ConvSTFT, x: Features) -> Features:
    learned = stft.learn == "window"
    spectrum = librosa.stft(
        np.real(x.values),
        n_fft=stft.n_fft,
        hop_length=stft.hop_length,
        win_length=None if learned else stft.win_length,
        window=_window(stft) if learned else stft.window,
        center=stft.center,
        pad_mode=stft.pad_mode,
        dtype=np.complex128,
    )
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
    return replace(x, values=np.concatenate((spectrum.real, spectrum.imag)), hertz=np.tile(hertz, 2))


def _window(stft: ConvSTFT) -> NDArray[np.float64]:
    """The learned window: the real part of the filter at 0 Hz."""
    return stft.kernel[0].detach().double().numpy()


def _mel(mel: Mel, x: Features) -> Features:
    f_max = mel.sample_rate / 2 if mel.f_max is None else mel.f_max
    bank = librosa.filters.mel(
        sr=mel.sample_rate,
        n_fft=mel.n_fft,
        n_mels=mel.n_mels,
        fmin=mel.f_min,
        fmax=f_max,
        htk=mel.scale == "htk",
        norm=mel.norm,
        dtype=np.float64,
    )
    corners = librosa.mel_frequencies(mel.n_mels + 2, fmin=mel.f_min, fmax=f_max, htk=mel.scale == "htk")
    return replace(x, values=bank @ x.values, hertz=corners[1:-1])


def _log(log: Log, x: Features) -> Features:
    match log.base:
        case "db":
            values = librosa.power_to_db(x.values, amin=log.floor, top_db=None)
        case "10":
            values = np.log10(np.maximum(x.values, log.floor))
        case _:
            values = np.log(np.maximum(x.values, log.floor))
    return replace(x, values=values, scale=x.scale.logarithm(log.base))


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
    ConvSTFT: _stft,
    Mel: _mel,
    Log: _log,
    DCT: _dct,
    Lifter: _lifter,
    nn.Identity: _same,
}
