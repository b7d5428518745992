"""Verifications of small banks as verify makes them, for tests of what is made of the answers."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

import speechconv as sc
from speechconv.verification.answers import Check, Verification
from speechconv.verification.filter_bank import FilterBank
from speechconv.verification.verifier import examine_bank, examine_encoder
from tests.verification.banks import dft, hann, mel_gabor, noise, pairs, real_only


def stft_bank(eps: float = 0.0, n_fft: int = 400) -> FilterBank:
    """An STFT, with Gaussian noise of this relative size."""
    filters = dft(n_fft, hann(n_fft))
    change = noise(*filters.shape, seed=5) + 1j * noise(*filters.shape, seed=1)
    filters = filters + eps * np.linalg.norm(filters) / np.linalg.norm(change) * change
    return dataclasses.replace(pairs(filters, hop_length=160), name="stft.filter_delta")


def gabor_bank(filters: int = 40, taps: int = 401) -> FilterBank:
    return dataclasses.replace(pairs(mel_gabor(filters, taps), hop_length=160), name="gabor", layout="separate")


def random_bank(filters: int = 64, taps: int = 256, *, complex_pairs: bool = True) -> FilterBank:
    """White noise, as a layer nobody has trained."""
    real, imag = noise(filters, taps) / taps, noise(filters, taps, seed=1) / taps
    bank = pairs(real + 1j * imag) if complex_pairs else real_only(real)
    return dataclasses.replace(bank, name="encoder.0.weight")


def verified(
    bank: FilterBank,
    reference: FilterBank | None = None,
    *,
    source: str = "model.safetensors",
    checks: list[Check] | None = None,
    heard: bool = False,
) -> Verification:
    """Every question; `heard`: on half a second of noise that fades out."""
    given = None if reference is None else (reference, "stft: n_fft 400, hann")
    audio = torch.from_numpy(noise(8000) * np.linspace(1, 0.1, 8000)) if heard else None
    verification = examine_bank(bank, given, audio).verification
    return dataclasses.replace(verification, source=source, checks=checks or [])


def encoder() -> Verification:
    """Of several layers, shaped as wav2vec 2.0's encoder but small and untrained: nothing but a probe."""
    torch.manual_seed(4)
    verification = examine_encoder(sc.FeatureEncoder(channels=64), None).verification
    return dataclasses.replace(verification, source="wav2vec2-base")


def both_checks() -> list[Check]:
    """One that holds, one that does not."""
    return [Check("bank.kappa", 1.83, 2.0, True), Check("stft.rho", 9.9e-3, 1e-6, False)]
