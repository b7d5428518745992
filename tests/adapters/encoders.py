"""Small encoders for every plug to hold, and batches for them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import speechconv as sc

KERNELS, STRIDES = (10, 3, 3), (5, 2, 2)


def feature_encoder(norm: str = "group", **settings: object) -> sc.FeatureEncoder:
    """R 40, S 20: as wav2vec 2.0's, three convolutions of it, every weight drawn."""
    options = {"channels": 6, "kernel_sizes": KERNELS, "strides": STRIDES, "bias": norm == "layer"} | settings
    return drawn(sc.FeatureEncoder(norm=norm, **options))  # pyright: ignore[reportArgumentType] - one call for all


def mel_pipeline(**stft: object) -> sc.Pipeline:
    """Learnable STFT, log mel of 6 bands; R 64, S 20, without pads unless `stft` says otherwise."""
    options = {"hop_length": 20, "learn": "delta", "output": "power", "center": False} | stft
    stages = [sc.ConvSTFT(64, **options), sc.Mel(6, sample_rate=8000, n_fft=64), sc.Log(floor=1e-3)]  # pyright: ignore[reportArgumentType] - one call for all
    return sc.Pipeline(stages, sample_rate=8000)


def drawn(module: nn.Module) -> sc.FeatureEncoder:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    assert isinstance(module, sc.FeatureEncoder)
    return module


def ragged(*lengths: int, dtype: torch.dtype = torch.float32, fill: float = torch.nan) -> tuple[Tensor, Tensor]:
    """Noise rows of these lengths, padded with `fill`, and the lengths."""
    wav = torch.full((len(lengths), max(lengths)), fill, dtype=dtype)
    for row, length in zip(wav, lengths, strict=True):
        row[:length] = 0.3 * torch.randn(length, dtype=dtype) + 0.1
    return wav, torch.tensor(lengths)


def gradients(module: nn.Module) -> list[Tensor]:
    """Of every parameter that learns; an assertion if one got none, or nothing but zeros."""
    found = []
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
        assert bool(parameter.grad.any()), name
        found.append(parameter.grad)
    assert found
    return found
