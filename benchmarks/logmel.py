"""Log-mel spectrogram: torchaudio, librosa, torch.stft by hand, and speechconv, offline and live.

    python -m benchmarks.logmel [--seconds 10] [--batch 16] [--repeats 21] [--threads 1 2]

All give the same numbers (checked first): 80 Slaney mels of 25 ms periodic Hann windows every 10 ms at 16 kHz, zeros
around the signal, natural logarithm above 1e-10.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence

import librosa
import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor
from torchaudio.transforms import MelSpectrogram

import speechconv as sc
from benchmarks.timing import machine, markdown_table, percentile, time_in_turn, time_once, versions

SAMPLE_RATE, N_FFT, HOP_LENGTH, N_MELS, FLOOR = 16000, 400, 160, 80, 1e-10
CHUNK = 320  # samples of a live chunk, 20 ms
TOLERANCE = 1e-5  # of the largest mel power: torchaudio's bank is built in float32
PACKAGES = ("torch", "torchaudio", "librosa", "numpy", "scipy")
PEER, LIVE = "torchaudio", "speechconv, live in 20 ms chunks"

LogMel = Callable[[Tensor], Tensor]


def torchaudio_logmel() -> LogMel:
    """Its MelSpectrogram with our settings; window and bank are made once."""
    mel = MelSpectrogram(
        SAMPLE_RATE,
        n_fft=N_FFT,
        hop_length=HOP_LENGTH,
        n_mels=N_MELS,
        pad_mode="constant",
        norm="slaney",
        mel_scale="slaney",
    )
    return lambda wav: mel(wav).clamp(min=FLOOR).log().mT


def librosa_logmel() -> LogMel:
    """Its melspectrogram as one calls it; float32 in and out, the bank is made at every call."""

    def logmel(wav: Tensor) -> Tensor:
        mel = librosa.feature.melspectrogram(
            y=wav.numpy(), sr=SAMPLE_RATE, n_fft=N_FFT, hop_length=HOP_LENGTH, n_mels=N_MELS
        )
        return torch.from_numpy(np.log(np.maximum(mel, FLOOR))).mT

    return logmel


def handmade_logmel() -> LogMel:
    """What one writes with torch.stft and librosa's bank."""
    window = torch.hann_window(N_FFT)
    bank = torch.from_numpy(librosa.filters.mel(sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=N_MELS))

    def logmel(wav: Tensor) -> Tensor:
        spectrum = torch.stft(wav, N_FFT, HOP_LENGTH, window=window, pad_mode="constant", return_complex=True)
        power = spectrum.real.square() + spectrum.imag.square()
        return (bank @ power).clamp(min=FLOOR).log().mT

    return logmel


def live_logmel(pipe: sc.Pipeline) -> LogMel:
    """One stream after the other, in 20 ms chunks."""

    def logmel(wav: Tensor) -> Tensor:
        session = pipe.stream()
        streams = []
        for row in wav:
            frames = [session.push(chunk) for chunk in row.split(CHUNK)]
            streams.append(torch.cat([*frames, session.close()]))
            session.reset()
        return torch.stack(streams)

    return logmel


def check_agreement(functions: Mapping[str, LogMel], wav: Tensor) -> None:
    """SystemExit unless all give the same mel powers."""
    expected = functions[PEER](wav).exp()
    for name, logmel in functions.items():
        off = float((logmel(wav).exp() - expected).abs().max() / expected.max())
        if off > TOLERANCE:
            raise SystemExit(f"{name} is {off:.1e} of the largest mel power away from {PEER}; nothing was timed.")


def offline_table(functions: Mapping[str, LogMel], wav: Tensor, *, threads: int, repeats: int) -> str:
    """Median times of the whole batch at once."""
    torch.set_num_threads(threads)
    with threadpool_limits(threads):
        seconds = time_in_turn(
            {name: lambda logmel=logmel: logmel(wav) for name, logmel in functions.items()}, repeats=repeats
        )
    audio = wav.numel() / SAMPLE_RATE
    rows = [
        (name, f"{1000 * taken:.1f}", f"{audio / taken:,.0f}", f"{seconds[PEER] / taken:.2f}")
        for name, taken in seconds.items()
    ]
    return markdown_table(("log-mel", "median ms", "times real time", f"times {PEER}'s speed"), rows)


def live_line(pipe: sc.Pipeline, wav: Tensor, *, repeats: int) -> str:
    """One stream on one thread: time for a second of audio, and what a push takes."""
    torch.set_num_threads(1)
    session, pushes = pipe.stream(), []
    for _ in range(repeats):
        session.reset()
        pushes += [time_once(lambda chunk=chunk: session.push(chunk)) for chunk in wav.split(CHUNK)]
    per_second = sum(pushes) / (repeats * len(wav) / SAMPLE_RATE)
    p50, p99 = (1000 * percentile(pushes, share) for share in (0.5, 0.99))
    return (
        f"{LIVE}, one stream, 1 thread: {1000 * per_second:.1f} ms per second of audio ({1 / per_second:,.0f} times "
        f"real time); a push takes {p50:.2f} ms (median), {p99:.2f} ms (99th percentile)."
    )


def report(*, seconds: float, batch: int, repeats: int, threads: Sequence[int]) -> None:
    """Print machine, versions and tables."""
    pipe = sc.Pipeline.from_preset("logmel")
    functions = {
        PEER: torchaudio_logmel(),
        "librosa": librosa_logmel(),
        "torch.stft by hand": handmade_logmel(),
        "speechconv": pipe,
    }
    wav = 0.1 * torch.randn(batch, round(seconds * SAMPLE_RATE), generator=torch.Generator().manual_seed(0))
    print(f"{machine()}\n{versions(PACKAGES)}")
    with torch.inference_mode():
        check_agreement({**functions, LIVE: live_logmel(pipe)}, wav)
        for count in threads:
            print(f"\n{batch} x {seconds:g} s at once, float32, {count} thread{'s' * (count > 1)}:\n", flush=True)
            print(offline_table(functions, wav, threads=count, repeats=repeats))
        print(f"\n{live_line(pipe, wav[0], repeats=repeats)}")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.logmel", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="of each signal")
    parser.add_argument("--batch", type=int, default=16, help="signals at once")
    parser.add_argument("--repeats", type=int, default=21, help="rounds that are timed")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="thread counts, a table each")
    chosen = parser.parse_args(arguments)
    report(seconds=chosen.seconds, batch=chosen.batch, repeats=chosen.repeats, threads=chosen.threads)


if __name__ == "__main__":
    main()
