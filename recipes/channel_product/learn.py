"""Learn the product of two channels, one of them a frame late: y[t] = a[t] b[t - 1].

    python -m recipes.channel_product.learn --output learned/channel_product

Four ways, each a convolution over two channels and two frames, on the same batches:

    plain    w * x                    a weighted sum; never below the variance that no sum reaches, var(a) var(b)
    relu     w2 relu(w1 * x)          16 such sums, bent and summed again
    exp      exp(w * log x)           a product of powers; inputs must be positive
    gate     (w1 * x) (w2 * x)        a product of two sums
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import speechconv as sc
from recipes.channel_product.picture import save_curves

Way = Literal["plain", "relu", "exp", "gate"]
WAYS: tuple[Way, ...] = get_args(Way)

LOW, HIGH = 0.25, 2.0
VARIANCE = (HIGH - LOW) ** 2 / 12
"""Of each channel, evenly spread from LOW to HIGH."""

FLOOR = VARIANCE**2
"""With a = m + u and b = m + v, ab = mm + mv + mu + uv: sums give all but uv, which no sum is correlated with."""

HIDDEN, BATCH, FRAMES, HELD_OUT = 16, 16, 64, 500
LR = 0.1


class ProductUnit(nn.Module):
    """exp(w * log x): each channel and tap to the power of its weight, and the product of all."""

    def __init__(self) -> None:
        super().__init__()
        self.exponents = sc.Conv1d(2, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.exponents(x.log()).exp()


@dataclass(frozen=True)
class Result:
    """What became of one model.

    Attributes:
        way: how it multiplies.
        seed: of its weights and batches.
        parameters: how many it has.
        held_out: mean squared error on new frames.
        twice_as_loud: the same where both channels are twice as large as in training.
        seconds: that the training took.
    """

    way: Way
    seed: int
    parameters: int
    held_out: float
    twice_as_loud: float
    seconds: float


def build(way: Way) -> nn.Module:
    """(batch, frames, 2) -> (batch, frames - 1, 1)"""
    if way == "plain":
        return sc.Conv1d(2, 1, 2)
    if way == "relu":
        return sc.Sequential(sc.Conv1d(2, HIDDEN, 2), nn.ReLU(), sc.Conv1d(HIDDEN, 1, 1))
    if way == "exp":
        return ProductUnit()
    return sc.Parallel(sc.Conv1d(2, 1, 2, bias=False), sc.Conv1d(2, 1, 2, bias=False), join="product")


def draw(rows: int, generator: torch.Generator) -> Tensor:
    """(rows, FRAMES, 2): two channels that know nothing of each other."""
    return LOW + (HIGH - LOW) * torch.rand(rows, FRAMES, 2, generator=generator)


def product(x: Tensor) -> Tensor:
    """a[t] b[t - 1], from the second frame on."""
    return (x[:, 1:, 0] * x[:, :-1, 1])[..., None]


def train(model: nn.Module, steps: int, seed: int) -> list[float]:
    """Adam with a rate that falls to 0; the loss of every step, each on new frames."""
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(model.parameters(), LR)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    losses = []
    for _ in range(steps):
        x = draw(BATCH, generator)
        loss = F.mse_loss(model(x), product(x))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(float(loss.detach()))
    return losses


@torch.no_grad()
def error(model: nn.Module, loudness: float) -> float:
    """Mean squared error, of three digits, on frames that are the same for every model, and none of training's."""
    x = loudness * draw(HELD_OUT, torch.Generator().manual_seed(2**31))
    return float(f"{float(F.mse_loss(model(x), product(x))):.3g}")


def learn(way: Way, steps: int, seed: int) -> tuple[nn.Module, list[float], Result]:
    """One model, trained; the loss of each step; what became of it."""
    torch.manual_seed(seed)
    model = build(way)
    start = time.perf_counter()
    losses = train(model, steps, seed)
    seconds = round(time.perf_counter() - start, 2)
    parameters = sum(p.numel() for p in model.parameters())
    return model, losses, Result(way, seed, parameters, error(model, 1.0), error(model, 2.0), seconds)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Learn the product of two channels, in four ways.")
    parser.add_argument(
        "--output", type=Path, default=Path("learned/channel_product"), help="folder for what it writes"
    )
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=1, help="how many models of each way")
    args = parser.parse_args(arguments)
    results, curves = [], []
    for way in WAYS:
        for seed in range(args.seeds):
            _, losses, result = learn(way, args.steps, seed)
            results.append(asdict(result))
            curves.append((way, losses))
            print(json.dumps(asdict(result)), flush=True)
    print(f"no weighted sum gets below {FLOOR:.4f}, var(a) var(b)")
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / "results.json").write_text(json.dumps(results, indent=2) + "\n", "utf-8")
    save_curves(curves, FLOOR, args.output / "losses.png")


if __name__ == "__main__":
    main()
