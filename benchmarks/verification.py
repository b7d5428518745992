"""What it takes to verify a bank of filters, and to invert a spectrum.

    python -m benchmarks.verification [--repeats 5]

One thread. `verify` asks every question that a bank without sound has. The inverse is of 1 s at 16 kHz, 25 ms Hann
windows every 10 ms, float32: the fixed STFT beside torch.istft, and learned filters (10 % noise on them), which nobody
else inverts.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch
from threadpoolctl import threadpool_limits

import speechconv as sc
from benchmarks.timing import Work, machine, markdown_table, time_in_turn, versions

PACKAGES = ("torch", "numpy", "scipy")


def verifications() -> dict[str, Work]:
    """By the bank's name."""
    noise = torch.randn(1024, 512, generator=torch.Generator().manual_seed(0))
    large = sc.Conv1d(1, 1024, 512, stride=4, bias=False)
    large.weight.data = noise[:, None]
    return {
        "1024 random filters of 512, hop 4": lambda: sc.verify(large),
        "STFT 400, hop 160": lambda: sc.verify(sc.ConvSTFT(400, hop_length=160)),
        "STFT 1024, hop 256": lambda: sc.verify(sc.ConvSTFT(1024, hop_length=256)),
    }


def inverses() -> dict[str, Work]:
    """By the method; all agree on the fixed STFT to 1e-5."""
    wav = torch.randn(1, 16000, generator=torch.Generator().manual_seed(0))
    fixed, learned = (sc.ConvSTFT(400, hop_length=160, learn=learn) for learn in (None, "delta"))
    with torch.no_grad():
        learned.filter_delta.normal_(0, 0.1, generator=torch.Generator().manual_seed(1))
        spectra = {stft: stft(wav) for stft in (fixed, learned)}
    window = torch.hann_window(400)

    def by_torch() -> torch.Tensor:
        return torch.istft(spectra[fixed].mT, 400, hop_length=160, window=window, length=16000)

    if not torch.allclose(by_torch(), fixed.inverse(spectra[fixed], 16000), atol=1e-5):
        raise SystemExit("ConvSTFT.inverse is more than 1e-5 away from torch.istft; nothing was timed.")
    return {
        "torch.istft": by_torch,
        "ConvSTFT.inverse, fixed": lambda: fixed.inverse(spectra[fixed], 16000),
        "ConvSTFT.inverse, 10 % noise on the filters": torch.no_grad()(
            lambda: learned.inverse(spectra[learned], 16000)
        ),
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Times of verify and of the inverse, one thread.")
    parser.add_argument("--repeats", type=int, default=5, help="rounds that count (default: 5)")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    print(machine())
    print(f"{versions(PACKAGES)}.\n")
    with threadpool_limits(1):
        for heading, works in (("verify", verifications()), ("inverse of 1 s", inverses())):
            seconds = time_in_turn(works, repeats=args.repeats, warm_up=1)
            rows = [(name, f"{1000 * took:,.1f}") for name, took in seconds.items()]
            print(markdown_table((heading, "median ms"), rows) + "\n")


if __name__ == "__main__":
    main()
