"""Learn the filters of a log-mel front-end on spoken digits in noise, and verify them before and after.

    python -m recipes.learn_filters.learn --data FSDD --output learned

The front-end is ConvSTFT -> Mel -> Log; behind it stands a small convolutional classifier. Every way of learning
starts as the same STFT, sees the same batches in the same noise, and pays for a frame that is about to lose something:

    loss = cross entropy + PENALTY log kappa
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import speechconv as sc
from recipes.learn_filters.sounds import SAMPLE_RATE, Sounds, in_noise, load
from speechconv.frontend.stft import Learn

N_FFT, HOP_LENGTH, N_MELS = 256, 80, 40
CHANNELS, BATCH = 64, 32
LR, FILTER_LR, WEIGHT_DECAY, PENALTY = 5e-3, 2e-3, 1e-2, 1e-2
SNR_DB = (-5.0, 10.0)
WAYS = ("fixed", "window", "delta", "free")


class Recogniser(nn.Module):
    """Waveform -> log mel by learned filters -> two convolutions -> mean over time -> classes."""

    def __init__(self, learn: Learn | None, classes: int) -> None:
        super().__init__()
        self.stft = sc.ConvSTFT(N_FFT, hop_length=HOP_LENGTH, window="hann", learn=learn, output="power")
        mel = sc.Mel(N_MELS, sample_rate=SAMPLE_RATE, n_fft=N_FFT)
        self.front = sc.Pipeline({"stft": self.stft, "mel": mel, "log": sc.Log(floor=1e-6)}, sample_rate=SAMPLE_RATE)
        self.body = sc.Sequential(
            sc.BatchNorm(N_MELS),
            sc.Conv1d(N_MELS, CHANNELS, 5, stride=2, padding="same"),
            nn.ReLU(),
            nn.Dropout(0.2),
            sc.Conv1d(CHANNELS, CHANNELS, 5, stride=2, padding="same"),
            nn.ReLU(),
        )
        self.head = nn.Linear(CHANNELS, classes)

    def forward(self, wav: Tensor, lengths: Tensor) -> Tensor:
        frames, counts = self.body(*self.front(wav, lengths))  # frames past a row's length are 0
        return self.head(frames.sum(1) / counts[:, None])


def train(model: Recogniser, sounds: Sounds, steps: int, seed: int) -> None:
    """Adam with a rate that falls to 0; batches and noise follow from `seed` alone."""
    generator = torch.Generator().manual_seed(seed)
    others = [*model.body.parameters(), *model.head.parameters()]
    groups = [{"params": others, "lr": LR, "weight_decay": WEIGHT_DECAY}]
    optimiser = torch.optim.AdamW(groups + model.stft.param_groups(FILTER_LR, WEIGHT_DECAY))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    model.train()
    for _ in range(steps):
        chosen = torch.randint(len(sounds), (BATCH,), generator=generator)
        logits = model(*in_noise(sounds, chosen, generator, SNR_DB))
        loss = F.cross_entropy(logits, sounds.classes[chosen])
        if model.stft.learn:
            loss = loss + PENALTY * model.stft.frame_penalty()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    model.eval()


@torch.no_grad()
def accuracy(model: Recogniser, sounds: Sounds) -> float:
    """Share of test sounds recognised, in noise that is the same for every model."""
    generator = torch.Generator().manual_seed(1)
    right = 0
    for chosen in torch.arange(len(sounds)).split(BATCH):
        logits = model(*in_noise(sounds, chosen, generator, SNR_DB))
        right += int((logits.argmax(1) == sounds.classes[chosen]).sum())
    return right / len(sounds)


def learn(way: str, training: Sounds, test: Sounds, steps: int, seed: int) -> tuple[Recogniser, dict[str, Any]]:
    """One model, trained, and what became of it."""
    torch.manual_seed(seed)
    model = Recogniser(None if way == "fixed" else _way(way), int(training.classes.max()) + 1)
    start = time.perf_counter()
    train(model, training, steps, seed)
    return model, {
        "learn": way,
        "seed": seed,
        "accuracy": accuracy(model, test),
        "drift": model.stft.drift().total,
        "kappa_two_sided": float(model.stft.frame_penalty().detach().exp()),
        "seconds": time.perf_counter() - start,
    }


def _way(word: str) -> Learn:
    ways: dict[str, Learn] = {"window": "window", "delta": "delta", "free": "free"}
    return ways[word]


def verify(weights: Path) -> None:
    """`speechconv verify`: the report beside the weights, as a page and as JSON."""
    report, numbers = weights.with_suffix(".html"), weights.with_suffix(".json")
    command = ["verify", str(weights), "--report", str(report), "--json", str(numbers)]
    subprocess.run([sys.executable, "-m", "speechconv", *command], check=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Learn the filters of a log-mel front-end.")
    parser.add_argument("--data", type=Path, required=True, help="folder with recordings/ (FSDD) or speech/")
    parser.add_argument("--output", type=Path, default=Path("learned"), help="folder for weights and reports")
    parser.add_argument("--learn", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument(
        "--seeds", type=int, default=1, help="how many models of each way of learning; the first is verified"
    )
    args = parser.parse_args(arguments)
    training, test = load(args.data)
    print(f"{len(training)} sounds to train on, {len(test)} to test")
    args.output.mkdir(parents=True, exist_ok=True)
    Recogniser("delta", 1).front.save(args.output / "before.safetensors")
    verify(args.output / "before.safetensors")
    results = []
    for way in args.learn:
        for seed in range(args.seeds):
            model, result = learn(way, training, test, args.steps, seed)
            results.append(result)
            print(json.dumps(result), flush=True)
            model.front.save(args.output / f"{way}{seed}.safetensors")
        verify(args.output / f"{way}0.safetensors")
    (args.output / "results.json").write_text(json.dumps(results, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
