"""Verifications of small banks, for tests of what is made of the answers."""

from __future__ import annotations

import math

import torch

import speechconv as sc
from speechconv.verification.answers import Check, SoundAnswer, Verification
from speechconv.verification.bank_properties import describe_bank
from speechconv.verification.drift import drift
from speechconv.verification.filter_bank import FilterBank
from speechconv.verification.filter_shape import describe_filters
from speechconv.verification.identity import identify
from speechconv.verification.pairs import examine_pairs
from speechconv.verification.probe import probe
from speechconv.verification.scales import fit_scales
from speechconv.verification.sound import sound

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
    """Every question that the bank itself answers."""
    filters = describe_filters(bank)
    stft = identify(bank)
    return Verification(
        source=source,
        tensor=bank.name,
        layout=bank.layout,
        sample_rate=bank.sample_rate,
        sample_rate_assumed=False,
        verdict=f"{len(bank.real)} filters of {bank.real.shape[1]} taps; an STFT: {stft.verdict}",
        stft=stft,
        drift=None if reference is None else drift(bank, reference, "stft: n_fft 400, hann"),
        filters=filters,
        scales=fit_scales([answer.peak_hz for answer in filters]),
        bank=describe_bank(bank),
        pairs=examine_pairs(bank),
        sound=None,
        probe=None,
        checks=[],
    )


def heard(bank: FilterBank, reference: FilterBank) -> SoundAnswer:
    """Half a second of white noise that fades out."""
    noise = torch.randn(8000, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    return sound(bank, reference, noise * torch.linspace(1, 0.1, 8000, dtype=torch.float64), "noise.wav")


def encoder() -> Verification:
    """Of several layers, shaped as wav2vec 2.0's encoder but small and untrained: nothing but a probe."""
    torch.manual_seed(4)
    return Verification(
        source="wav2vec2-base",
        tensor="",
        layout="several layers",
        sample_rate=SAMPLE_RATE,
        sample_rate_assumed=True,
        verdict="An encoder of 7 layers, probed with sines.",
        stft=None,
        drift=None,
        filters=[],
        scales=None,
        bank=None,
        pairs=None,
        sound=None,
        probe=probe(sc.FeatureEncoder(channels=64), SAMPLE_RATE),
        checks=[],
    )


def checks() -> list[Check]:
    """One that holds, one that does not."""
    return [Check("bank.kappa", 1.83, 2.0, True), Check("stft.rho", 9.9e-3, 1e-6, False)]
