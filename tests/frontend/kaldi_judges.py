"""What KaldiSTFT and the presets on it are held against: plain numpy, kaldi-native-fbank and torchaudio.

torchaudio makes its mel bank and window in torch's default type, float32, and so its logarithms are 1e-4 off at best;
here it is told float64.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import kaldi_native_fbank as knf
import numpy as np
import pytest
import scipy.fft
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor

import speechconv as sc
from tests.precision import double_constants

Waveform = NDArray[Any]
OWN_LOG = 5e-12  # float64 against numpy, 70 dB down, where an FFT rounds to 1e-12 of a band; worst measured 8.1e-13
FLOOR = float(np.finfo(np.float32).eps)


@functools.cache
def sounds() -> dict[str, Waveform]:
    """Sounds of a second at 16 kHz: -1 ... 1."""
    random, seconds = np.random.default_rng(0), np.arange(16000) / 16000
    folder = Path(__file__).parents[2] / "audio_samples" / "speech"
    speech, _ = soundfile.read(folder / "en_us_digits_16k.wav")
    sweep = np.sin(2 * np.pi * (20 * seconds + 3990 * seconds**2))  # 20 Hz ... 8 kHz
    return {
        "speech": speech[4000:20000],
        "full band": 0.4 * sweep + 0.1 * random.standard_normal(16000),
        "tones at full scale": 0.5 * np.sin(2 * np.pi * 1000 * seconds) + 0.499 * np.sin(2 * np.pi * 3333 * seconds),
        "noise": np.clip(0.3 * random.standard_normal(16000), -1, 1),
        "near silence": 1e-4 * random.standard_normal(16000) + 0.01,
    }


each_sound = pytest.mark.parametrize("name", ["speech", "full band", "tones at full scale", "noise", "near silence"])
each_edge = pytest.mark.parametrize("snip_edges", [True, False])


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def off(y: Tensor, expected: Any) -> float:
    expected = torch.as_tensor(np.asarray(expected))
    assert y.shape == expected.shape
    return float((y.detach().double() - expected).abs().max() / expected.abs().max()) if expected.numel() else 0.0


def slow_frames(x: Waveform, win_length: int, hop_length: int, *, snip_edges: bool) -> Waveform:
    """Kaldi's frames one sample at a time, after FirstSampleOfFrame, NumFrames and ExtractWindow."""
    if snip_edges:
        count = 1 + (len(x) - win_length) // hop_length if len(x) >= win_length else 0
    else:
        count = (len(x) + hop_length // 2) // hop_length
    frames = np.zeros((count, win_length))
    for t in range(count):
        start = t * hop_length if snip_edges else t * hop_length + hop_length // 2 - win_length // 2
        for n in range(win_length):
            place = start + n
            while not 0 <= place < len(x):
                place = -place - 1 if place < 0 else 2 * len(x) - 1 - place
            frames[t, n] = x[place]
    return frames


def slow_stft(x: Waveform, win_length: int = 400, hop_length: int = 160, *, snip_edges: bool = True) -> Any:
    """The complex spectrum, with Povey's window, scaled as 16 bits."""
    frames = 32768 * slow_frames(x, win_length, hop_length, snip_edges=snip_edges)
    frames = frames - frames.mean(1, keepdims=True)
    before = np.concatenate((frames[:, :1], frames[:, :-1]), 1)
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(win_length) / (win_length - 1))) ** 0.85
    n_fft = 2 ** int(np.ceil(np.log2(win_length)))
    return np.fft.rfft((frames - 0.97 * before) * window, n_fft)


def slow_fbank(x: Waveform, n_mels: int = 80, *, snip_edges: bool = True) -> Waveform:
    """Power, triangles linear in mel from 20 Hz to 8 kHz, floor, logarithm."""

    def mel(hertz: Any) -> Any:
        return 1127 * np.log(1 + hertz / 700)

    corners = np.linspace(mel(20.0), mel(8000.0), n_mels + 2)
    points = mel(np.arange(257) * 16000 / 512)
    bank = np.array([np.interp(points, corners[i : i + 3], [0.0, 1.0, 0.0]) for i in range(n_mels)])
    return np.log(np.maximum(np.abs(slow_stft(x, snip_edges=snip_edges)) ** 2 @ bank.T, FLOOR))


def slow_mfcc(x: Waveform, *, snip_edges: bool = True) -> Waveform:
    lifter = 1 + 11 * np.sin(np.pi * np.arange(13) / 22)
    logarithms = slow_fbank(x, 23, snip_edges=snip_edges)
    return np.asarray(scipy.fft.dct(logarithms, norm="ortho"))[:, :13] * lifter


def kaldi_fbank(x: Waveform, *, snip_edges: bool = True, n_mels: int = 80, sample_rate: int = 16000) -> Waveform:
    """kaldi-native-fbank, all in float32."""
    options = knf.FbankOptions()
    options.mel_opts.num_bins = n_mels
    return run_knf(knf.OnlineFbank, options, x, snip_edges, sample_rate)


def kaldi_mfcc(x: Waveform, *, snip_edges: bool = True, sample_rate: int = 16000) -> Waveform:
    options = knf.MfccOptions()
    options.use_energy = False
    return run_knf(knf.OnlineMfcc, options, x, snip_edges, sample_rate)


def run_knf(kind: Any, options: Any, x: Waveform, snip_edges: bool, sample_rate: int) -> Waveform:
    options.frame_opts.dither = 0
    options.frame_opts.snip_edges = snip_edges
    options.frame_opts.samp_freq = sample_rate
    online = kind(options)
    online.accept_waveform(sample_rate, (32768 * x).astype(np.float32).tolist())
    online.input_finished()
    frames = [online.get_frame(i) for i in range(online.num_frames_ready)]
    return np.array(frames, np.float64).reshape(len(frames), online.dim)


def torchaudio_features(kind: str, x: Waveform, *, sample_rate: int = 16000, **options: Any) -> Tensor:
    """In float64 all the way."""
    from torchaudio.compliance import kaldi

    wave = torch.as_tensor(32768 * x)[None]
    with double_constants():
        return getattr(kaldi, kind)(wave, sample_frequency=float(sample_rate), low_freq=20.0, **options)


def preset(name: str, **overrides: Any) -> sc.Pipeline:
    return sc.Pipeline.from_preset(name, **overrides)


def within_70_db(logarithms: Tensor) -> Tensor:
    """Bands of power no more than 70 dB below the frame's largest."""
    return logarithms >= logarithms.amax(1, keepdim=True) - 7 * np.log(10)
