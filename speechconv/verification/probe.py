"""What does an encoder of several layers answer to? It has no single filter, so it is asked with sounds.

    sines       A sin(2 pi f n):  response[c, f] = rms over frames of y_c(sine) - y_c(silence), at three levels A
    impulses    at every eighth of a stride:  width at half height of the mean |y(impulse) - y(silence)|
    gradients   of one frame with respect to the samples: where they are not zero is what the frame sees

Statistics over the utterance are frozen on white noise first, in a copy: taken over the probe itself, they would make a
loud and a soft sine equal and let every frame see every sample.

Source: Choi and Yeo 2023, "Opening the black box of wav2vec feature encoder", for sines through an encoder.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from speechconv.layer import Layer
from speechconv.utterance import freeze_on, frozen_twin, layers_of_policy
from speechconv.verification.answers import LevelAnswer, ProbeAnswer
from speechconv.verification.filter_bank import DEAD

SHIFTS = 8
"""Places of an impulse within one stride."""
FRAMES = 16
"""Frames of a sine between those that see a pad."""
SINES = 64
SPARSE = 4
"""At other levels, one sine in so many."""
BATCH_SAMPLES = 1 << 17
CALIBRATION_SECONDS = 2


def probe(
    encoder: Layer,
    sample_rate: int,
    *,
    level: float = 0.1,
    other_levels: Sequence[float] = (0.01, 0.5),
    frequencies_hz: Sequence[float] | None = None,
) -> ProbeAnswer:
    """Asks an encoder; its magnitude where the answer is complex.

    Args:
        encoder: takes a waveform; not changed.
        sample_rate: Hz.
        level: amplitude of sines, impulses and the noise that statistics are frozen on, > 0.
        other_levels: amplitudes at which the answers to the sines are compared with those at `level`.
        frequencies_hz: of the sines; None: 64, equally spaced in log(1 + f / 700) from 50 Hz to just below Nyquist.

    Raises:
        ValueError: a level that is not positive.

    >>> from speechconv import ConvSTFT
    >>> stft = ConvSTFT(64, hop_length=16, window="hamming", output="magnitude")
    >>> answer = probe(stft, 16000, frequencies_hz=[1000.0, 4000.0])
    >>> answer.receptive_field, answer.stride, [round(answer.peak_hz[k]) for k in (4, 16)]
    (64, 16, [1000, 4000])
    """
    for amplitude in (level, *other_levels):
        if not amplitude > 0:
            raise ValueError(f"level (={amplitude}) must be above 0, as the amplitude of a sine.")
    twin = _frozen(encoder, sample_rate, level)
    hertz = _frequencies(sample_rate) if frequencies_hz is None else list(frequencies_hz)
    frequencies = torch.tensor(hertz, dtype=torch.float64)
    response = _response(twin, frequencies / sample_rate, level)
    here = response[:, ::SPARSE] / level
    first, behind = _gradient_span(twin, 0)
    return ProbeAnswer(
        level=level,
        frequencies_hz=frequencies.tolist(),
        response=response.tolist(),
        peak_hz=frequencies[response.argmax(1)].masked_fill(~_alive(response), math.nan).tolist(),
        receptive_field=behind - first,
        stride=_gradient_span(twin, 1)[0] - first,
        time_resolution_ms=1000 * _impulse_width(twin, level) / sample_rate,
        levels=[
            _compared(_response(twin, frequencies[::SPARSE] / sample_rate, other) / other, here, other)
            for other in other_levels
        ],
    )


def _alive(response: Tensor) -> Tensor:
    """(channels,) bool: which answer to any sine."""
    return response.amax(1) > DEAD * response.max()


def _compared(there: Tensor, here: Tensor, level: float) -> LevelAnswer:
    """Answers for each unit of amplitude, at that level and at the probe's own."""
    moved = (there.argmax(1) != here.argmax(1))[_alive(here)].double().mean()
    return LevelAnswer(level, 20 * float((there.norm() / here.norm()).log10()), float(moved))


def _frequencies(sample_rate: int) -> list[float]:
    low, high = math.log1p(50 / 700), math.log1p(0.495 * sample_rate / 700)
    return [700 * math.expm1(low + (high - low) * i / (SINES - 1)) for i in range(SINES)]


def _frozen(encoder: Layer, sample_rate: int, level: float) -> Layer:
    """A copy in eval mode that shares the weights and takes no statistics from what it hears."""
    twin = frozen_twin(encoder).eval()
    layers = layers_of_policy(twin, "utterance")
    if layers:
        noise = level * torch.randn(CALIBRATION_SECONDS * sample_rate, generator=_generator())
        freeze_on(twin, layers, [lambda: [noise]])
    return twin


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _type(encoder: Layer) -> torch.dtype:
    return next((p.dtype for p in encoder.parameters()), torch.get_default_dtype())


def _ask(encoder: Layer, wav: Tensor) -> Tensor:
    y = encoder(wav.to(_type(encoder)))
    return (y.abs() if y.is_complex() else y).double()


@torch.no_grad()
def _response(encoder: Layer, frequencies: Tensor, level: float) -> Tensor:
    """(channels, frequencies)"""
    g = encoder.geometry
    samples = g.receptive_field + FRAMES * g.stride
    time = torch.arange(samples, dtype=torch.float64)
    silence = _inner(encoder, torch.zeros(1, samples))
    columns = []
    for some in frequencies.split(max(1, BATCH_SAMPLES // samples)):
        sines = level * torch.sin(2 * math.pi * torch.remainder(some[:, None] * time, 1))
        columns.append((_inner(encoder, sines) - silence).square().mean(1).sqrt())
    return torch.cat(columns).T


def _inner(encoder: Layer, wav: Tensor) -> Tensor:
    """The frames that see no pad."""
    g = encoder.geometry
    first = -(-g.pad_left // g.stride)
    last = (wav.shape[1] + g.pad_left - g.receptive_field) // g.stride
    return _ask(encoder, wav)[:, first : last + 1]


def _gradient_span(encoder: Layer, later: int) -> tuple[int, int]:
    """First sample, and the one behind the last, that move a frame in the middle, or one of the `later` ones."""
    g = encoder.geometry
    frame = -(-g.pad_left // g.stride) + 1
    samples = g.receptive_field + (frame + 2) * g.stride + 1
    wav = torch.randn(1, samples, generator=_generator(), dtype=torch.float64).to(_type(encoder)).requires_grad_()
    with torch.enable_grad():
        y = encoder(wav)[0, frame + later]
        parts = torch.view_as_real(y) if y.is_complex() else y
        weights = torch.randn(parts.shape, generator=_generator(), dtype=torch.float64).to(parts)
        (gradient,) = torch.autograd.grad((parts * weights).sum(), wav)
    seen = gradient[0].nonzero()[:, 0]
    return (int(seen[0]), int(seen[-1]) + 1) if len(seen) else (0, 0)


@torch.no_grad()
def _impulse_width(encoder: Layer, level: float) -> float:
    """Samples between the first and the last place of the impulse where the mean change is at least half the largest.

    Frame t answers to an impulse at n as any frame does at n - t S, so that shifts within one stride give the answer
    at every S / 8 samples.
    """
    g = encoder.geometry
    samples = 2 * (g.receptive_field + g.stride)
    shifts = sorted({round(i * g.stride / SHIFTS) for i in range(SHIFTS)} - {g.stride})
    place = samples // 2 + torch.tensor(shifts)
    impulses = level * torch.nn.functional.one_hot(place, samples).double()
    change = (_ask(encoder, impulses) - _ask(encoder, torch.zeros(1, samples))).abs().mean(2)
    delay = place[:, None] - torch.arange(change.shape[1]) * g.stride
    loud = delay[change >= change.max() / 2]
    return float(loud.max() - loud.min()) + g.stride / len(shifts)
