"""verify: every question about the filters of a file or a module, and thresholds on the answers."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speechconv.checks import check_count, check_known
from speechconv.layer import Layer
from speechconv.pages.document import check_output
from speechconv.pipeline import Pipeline
from speechconv.verification import answers
from speechconv.verification.answers import Check, Verification
from speechconv.verification.bank_properties import describe_bank
from speechconv.verification.drift import drift
from speechconv.verification.filter_bank import FilterBank, Layout
from speechconv.verification.filter_shape import describe_filters
from speechconv.verification.identity import fit_stft, identify, nearest_stft
from speechconv.verification.pairs import examine_pairs
from speechconv.verification.probe import probe
from speechconv.verification.report import write_report
from speechconv.verification.scales import SCALES, fit_scales
from speechconv.verification.sound import sound
from speechconv.verification.sources import SAMPLE_RATE, pipeline_in
from speechconv.verification.subject import Reference, Weights, find_reference, find_subject, name_of

Audio = str | os.PathLike[str] | Tensor | NDArray[Any]

FAR = 0.5
"""An STFT that was guessed from the bank itself is no reference where the drift from it is larger than this."""

QUESTIONS = {
    "stft": answers.StftAnswer,
    "drift": answers.DriftAnswer,
    "scales": answers.ScalesAnswer,
    "bank": answers.BankAnswer,
    "pairs": answers.PairsAnswer,
    "sound": answers.SoundAnswer,
    "probe": answers.ProbeAnswer,
}
"""What thresholds may ask, by the names of the JSON."""

CHECKABLE = (
    *(
        f"{question}.{field.name}"
        for question, answer in QUESTIONS.items()
        for field in dataclasses.fields(answer)
        if field.type in ("float", "float | None", "int", "int | None")
    ),
    *(f"scales.residual.{scale}" for scale in SCALES),
)
"""Every single number that a threshold may bound."""


@dataclass(frozen=True)
class Examined:
    """A verification and what it looked at, which a report draws.

    Attributes:
        verification: the answers.
        bank: None for an encoder without a single bank.
        reference: what drift and sound were measured against; None without.
    """

    verification: Verification
    bank: FilterBank | None
    reference: FilterBank | None


def verify(
    weights: Weights,
    *,
    tensor: str | None = None,
    layout: Layout | None = None,
    sample_rate: int | None = None,
    hop_length: int | None = None,
    reference: Reference | None = None,
    audio: Audio | None = None,
    thresholds: Mapping[str, float] | None = None,
    minima: Mapping[str, float] | None = None,
    report: str | os.PathLike[str] | None = None,
    name: str | None = None,
) -> Verification:
    """Ask filters what they are: an STFT or not, how far from their reference, and whether they lose anything.

    Args:
        weights: a file or preset (see `read_bank`); a Pipeline, ConvSTFT, Conv1d or encoder; a FilterBank; or filters
            as a tensor or array, (filters, taps) or (filters, 1, taps).
        tensor: name of the filters in a file or pipeline, "REAL,IMAG" for two; None: the one that looks like it.
        layout: how pairs lie in it: "stacked", "interleaved", "separate", or "real" for none; None: by evidence.
        sample_rate: Hz; None: the pipeline's, else 16000.
        hop_length: samples between two frames; None: the module's, else unknown, and then only what needs none is
            answered.
        reference: "stft:n_fft=400,...", a file, or as `weights`; None: what a ConvSTFT started from, else the STFT that
            the filters come near to.
        audio: a sound file, or (samples,) at `sample_rate`, to hear bank and reference with.
        thresholds: largest allowed value by name, such as {"bank.kappa": 3.0, "stft.rho": 1e-6}. What has no answer is
            beyond every threshold.
        minima: smallest allowed value by name, such as {"bank.A": 0.1, "bank.effective_rank": 100}.
        report: HTML file to write with all of it, one page that needs no network.
        name: what the report and the JSON call the weights; None: the file, else their type.

    Raises:
        FileNotFoundError: no such file, or no folder for the report.
        ValueError: an unreadable file, no filters or NaN in them, an unknown threshold, a reference that does not fit,
            a report that is a folder.
        TypeError: weights of another kind.

    Example:
        >>> from speechconv import ConvSTFT
        >>> answer = verify(ConvSTFT(n_fft=256, hop_length=64), thresholds={"bank.kappa_two_sided": 1.001})
        >>> answer.verdict, round(answer.bank.kappa, 2), answer.passed
        ('yes: n_fft 256, periodic Hann', 1.67, True)
    """
    limits = [*((name, limit, False) for name, limit in (thresholds or {}).items())]
    limits += [(name, limit, True) for name, limit in (minima or {}).items()]
    for limited, _, _ in limits:
        check_known([limited], CHECKABLE, "threshold", "verify")
    sample_rate = None if sample_rate is None else check_count("sample_rate", sample_rate)
    hop_length = None if hop_length is None else check_count("hop_length", hop_length)
    if report is not None:
        check_output(report)
    source = name_of(weights) if name is None else name
    if isinstance(weights, str | os.PathLike):
        weights = pipeline_in(weights) or weights  # a pipeline also knows what its filters started from
    subject = find_subject(weights, source, tensor, layout, sample_rate, hop_length)
    if isinstance(subject, FilterBank):
        examined = examine_bank(subject, find_reference(reference, weights, subject), audio)
    else:
        if reference is not None or audio is not None:
            raise ValueError(f"{source} holds no single bank of filters, which reference and audio would need.")
        examined = examine_encoder(subject, sample_rate)
    verification = dataclasses.replace(examined.verification, source=source)
    checks = [_check(verification, *limit) for limit in limits]
    verification = dataclasses.replace(verification, checks=checks)
    if report is not None:
        write_report(verification, examined.bank, examined.reference, report)
    return verification


def examine_bank(bank: FilterBank, given: tuple[FilterBank, str] | None, audio: Audio | None) -> Examined:
    """Every question about a bank.

    Args:
        bank: filters, finite and not all zero.
        given: the reference and what it is in words; None: the STFT that the filters come near to.
        audio: as `verify`.
    """
    fit = fit_stft(bank)
    stft = identify(bank, fit)
    pairs = examine_pairs(bank)
    filters = describe_filters(bank, fit.window.abs())
    reference = given or nearest_stft(bank, fit)
    distance = drift(bank, *reference) if reference else None
    if given is None and distance and not distance.total < FAR:
        reference, distance = None, None
    if audio is not None and reference is None:
        which = "'stft:n_fft=...'" if bank.imag is not None else "a file of real-only filters"
        raise ValueError(f"audio needs a reference, and {bank.name} comes near no STFT; give reference={which}.")
    verification = Verification(
        source="",
        tensor=bank.name,
        layout=bank.layout,
        sample_rate=bank.sample_rate,
        sample_rate_assumed=bank.sample_rate_assumed,
        verdict=stft.verdict if stft.is_stft or pairs is None else f"{stft.verdict}; {pairs.verdict}",
        stft=stft,
        drift=distance,
        filters=filters,
        scales=fit_scales([answer.peak_hz for answer in filters]),
        bank=describe_bank(bank),
        pairs=pairs,
        sound=sound(bank, *reference, *_heard(audio, bank.sample_rate)) if audio is not None and reference else None,
        probe=None,
        checks=[],
    )
    return Examined(verification, bank, reference[0] if reference else None)


def examine_encoder(encoder: Layer, sample_rate: int | None) -> Examined:
    """What sounds say of an encoder; the sample rate is None where nobody gave one."""
    assumed = sample_rate is None and not isinstance(encoder, Pipeline)
    sample_rate = sample_rate or (encoder.sample_rate if isinstance(encoder, Pipeline) else SAMPLE_RATE)
    answer = probe(encoder, sample_rate)
    verdict = "random weights: " if isinstance(encoder, Pipeline) and encoder.fresh_random else ""
    verdict += (
        f"no single bank of filters: each frame sees {answer.receptive_field} samples, one every {answer.stride}, and "
        f"an impulse is heard for {answer.time_resolution_ms:.3g} ms"
    )
    verification = Verification(
        source="",
        tensor="",
        layout="encoder",
        sample_rate=sample_rate,
        sample_rate_assumed=assumed,
        verdict=verdict,
        stft=None,
        drift=None,
        filters=[],
        scales=fit_scales(answer.peak_hz),
        bank=None,
        pairs=None,
        sound=None,
        probe=answer,
        checks=[],
    )
    return Examined(verification, None, None)


def _check(verification: Verification, name: str, limit: float, at_least: bool) -> Check:
    value: Any = verification
    for key in name.split("."):
        value = value[key] if isinstance(value, dict) else getattr(value, key, None)
    within = value is not None and (value >= limit if at_least else value <= limit)
    return Check(name, value, float(limit), within, at_least)


def _heard(audio: Audio, sample_rate: int) -> tuple[Tensor, str]:
    """(samples,) at the bank's rate, and a name."""
    if isinstance(audio, str | os.PathLike):
        from speechconv.audio.error import AudioError
        from speechconv.audio.files import AudioFile
        from speechconv.audio.waveform import Waveform

        try:
            with AudioFile(audio) as file:
                blocks = list(Waveform(file, sample_rate=sample_rate).blocks())
        except AudioError as error:
            raise ValueError(f"{audio} {error}") from None
        return torch.from_numpy(np.concatenate([np.zeros(0, np.float32), *blocks])), Path(audio).name
    wav = torch.as_tensor(audio).detach().cpu()
    if wav.ndim != 1 or not wav.is_floating_point() or not bool(wav.isfinite().all()):
        raise ValueError(f"audio must be finite floating samples (samples,), got {wav.dtype} {tuple(wav.shape)}.")
    return wav, "the given samples"
