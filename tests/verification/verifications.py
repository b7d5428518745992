"""Verifications of small banks, filled by short plain code, for tests of what is made of the answers."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

import speechconv as sc
from speechconv.verification.answers import (
    BankAnswer,
    Check,
    DriftAnswer,
    FilterAnswer,
    PairsAnswer,
    ProbeAnswer,
    ScalesAnswer,
    SoundAnswer,
    StftAnswer,
    Verification,
)
from speechconv.verification.filter_bank import FilterBank

SAMPLE_RATE = 16000


def stft_bank(noise: float = 0.0, n_fft: int = 400) -> FilterBank:
    """Our STFT's filters, with Gaussian noise of this relative size."""
    kernel = sc.ConvSTFT(n_fft, learn="delta").kernel.detach().double()
    change = torch.randn(kernel.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    real, imag = (kernel + noise * kernel.norm() / change.norm() * change).chunk(2)
    return FilterBank("stft.filter_delta", real, imag, "stacked", SAMPLE_RATE, 160)


def gabor_bank(filters: int = 40, taps: int = 401) -> FilterBank:
    """Gaussian envelopes on centres that are even on the HTK mel scale."""
    mels = torch.linspace(2595 * math.log10(1 + 60 / 700), 2595 * math.log10(1 + 7600 / 700), filters)
    centres = 700 * (10 ** (mels.double() / 2595) - 1)
    time = (torch.arange(taps, dtype=torch.float64) - taps // 2) / SAMPLE_RATE
    width = 1 / (math.tau * (30 + 0.06 * centres))
    envelope = torch.exp(-0.5 * (time / width[:, None]) ** 2) / width[:, None].sqrt()
    phase = math.tau * centres[:, None] * time
    return FilterBank("gabor", envelope * phase.cos(), envelope * phase.sin(), "separate", SAMPLE_RATE, 160)


def random_bank(filters: int = 64, taps: int = 256, pairs: bool = True) -> FilterBank:
    """White noise, as a layer nobody has trained."""
    rows = torch.randn(2 * filters, taps, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) / taps
    imag = rows[filters:] if pairs else None
    return FilterBank("encoder.0.weight", rows[:filters], imag, "stacked" if pairs else "real", SAMPLE_RATE, None)


def verified(
    bank: FilterBank, reference: FilterBank | None = None, *, source: str = "model.safetensors"
) -> Verification:
    """Answers whose numbers come from the bank where a line of code gives them, and stand in where it takes more."""
    power = _power(bank)
    frequencies = np.linspace(0, bank.sample_rate / 2, power.shape[1])
    filters = [_describe(index, row, frequencies) for index, row in enumerate(power.numpy())]
    drift = None if reference is None else _drift(bank, reference)
    kappa = None if bank.hop_length is None else 1.8301
    return Verification(
        source=source,
        tensor=bank.name,
        layout=bank.layout,
        sample_rate=bank.sample_rate,
        sample_rate_assumed=False,
        verdict=f"{bank.name}: {len(bank.real)} filters of {bank.real.shape[1]} taps.",
        stft=StftAnswer(False, 9.9e-5, None, 400, None, None, -1, [f.peak_hz for f in filters], "No: 1 % away.")
        if bank.imag is not None
        else None,
        drift=drift,
        filters=filters,
        scales=ScalesAnswer("linear", {"linear": 0.001, "mel_htk": 0.11, "mel_slaney": 0.1, "bark": 0.13, "erb": 0.12}),
        bank=BankAnswer(
            hop_length=bank.hop_length,
            A=None if kappa is None else 300.0,
            B=None if kappa is None else 300.0 * kappa,
            kappa=kappa,
            kappa_two_sided=None if kappa is None or bank.imag is None else 1.1885,
            aliasing=None if kappa is None else 0.02,
            parseval=None if kappa is None else 0.4,
            reconstruction_error=None if kappa is None else 3e-15,
            coherence=0.67,
            effective_rank=200.4,
            rows=len(bank.rows),
            taps=bank.real.shape[1],
            response_hz=frequencies.tolist(),
            cumulative_response=(power.sqrt().mean(0) / power.sqrt().mean(0).max()).tolist(),
        ),
        pairs=None
        if bank.imag is None
        else PairsAnswer(1e-4, 0.01, 1.0, 0.02, 0.5, "Analytic pairs.", [1e-4] * len(filters)),
        sound=None,
        probe=None,
        checks=[],
    )


def heard() -> SoundAnswer:
    return SoundAnswer("a.wav", "the STFT", 0.21, 7.5, 0.4, [0.1 + 0.1 * math.sin(k / 9) ** 2 for k in range(201)])


def probed(channels: int = 512, sines: int = 48) -> ProbeAnswer:
    """Band-pass answers, most of them below 1 kHz."""
    frequencies = np.geomspace(50, 7600, sines)
    peaks = 60 * (7000 / 60) ** (np.random.default_rng(0).beta(1.2, 1.6, channels))
    response = 0.02 + np.exp(-0.5 * (np.log(frequencies / peaks[:, None]) / 0.25) ** 2)
    peak_hz = frequencies[response.argmax(1)].tolist()
    return ProbeAnswer(0.1, frequencies.tolist(), response.tolist(), peak_hz, 400, 320, 21.25)


def encoder() -> Verification:
    """An encoder of several layers: nothing but a probe."""
    return Verification(
        "wav2vec2-base", "", "several layers", SAMPLE_RATE, True, "An encoder of 7 layers.",
        None, None, [], None, None, None, None, probed(), [],
    )  # fmt: skip


def checks() -> list[Check]:
    return [Check("bank.kappa", 1.8301, 2.0, True), Check("stft.rho", 9.9e-5, 1e-6, False)]


def _power(bank: FilterBank) -> Tensor:
    power = torch.fft.rfft(bank.real, 4096).abs() ** 2
    return power if bank.imag is None else power + torch.fft.rfft(bank.imag, 4096).abs() ** 2


def _describe(index: int, power: np.ndarray, frequencies: np.ndarray) -> FilterAnswer:
    peak = float(frequencies[power.argmax()])
    erb = float(power.sum() / power.max() * frequencies[1])
    share = power / power.sum()
    spread = float(np.exp(-(share * np.log(share + 1e-300)).sum()))
    centroid = float((share * frequencies).sum())
    return FilterAnswer(index, peak, centroid, 0.96 * erb, erb, peak / erb, 0.01, spread, 0.99)


def _drift(bank: FilterBank, reference: FilterBank) -> DriftAnswer:
    z, z0 = bank.filters, reference.filters
    change = ((z - z0).norm(dim=1) / z0.norm(dim=1)).tolist()
    cosine = ((z.conj() * z0).sum(1).abs() / z.norm(dim=1) / z0.norm(dim=1)).tolist()
    p, q = (_power(b) / _power(b).sum(1, keepdim=True) for b in (bank, reference))
    m = (p + q) / 2
    jsd = (0.5 * ((p * (p / m).log2()).nansum(1) + (q * (q / m).log2()).nansum(1))).clamp(0, 1).sqrt().tolist()
    ones = [1.0] * len(change)
    total = float((z - z0).norm() / z0.norm())
    return DriftAnswer("stft: n_fft 400, hann", total, change, cosine, ones, ones, ones, jsd)
