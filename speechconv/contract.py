"""The law as a check that any layer can be put to: offline and live give the same frames, each as early as its input
permits."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from speechconv.combine import Sequential
from speechconv.geometry import Geometry
from speechconv.layer import Layer
from speechconv.layout import axes
from speechconv.session import Session
from speechconv.streamer import Streamer


@dataclass(frozen=True)
class StreamingReport:
    """What `check_streaming` saw.

    Attributes:
        geometry: of the layer.
        lengths: input lengths that were tried.
        worst: largest difference between live and offline, relative to the largest offline value.
    """

    geometry: Geometry
    lengths: tuple[int, ...]
    worst: float


def check_streaming(
    layer: nn.Module, *, channels: int | None = None, tolerance: float = 1e-12, seed: int = 0
) -> StreamingReport:
    """Put a layer to the law, in float64 and eval mode, on a copy.

    It checks the number of frames, live against offline for ragged chunks, that every frame comes with exactly the
    sample that completes it, and that a batch padded with NaN gives each row what the row gives alone.

    Args:
        layer: any layer, composition or pipeline.
        channels: of its input, only where it takes any number.
        tolerance: largest difference, relative to the largest offline value.
        seed: of the random input and chunks.

    Raises:
        AssertionError: a promise that the layer breaks; says which, and where.
        NotStreamable: it says itself that it cannot.

    Example:
        >>> import speechconv as sc
        >>> check_streaming(sc.Conv1d(2, 3, 5, stride=2, padding="causal")).worst < 1e-12
        True
    """
    layer = copy.deepcopy(layer if isinstance(layer, Layer) else Sequential(layer)).double().eval()
    trial = _Trial(
        layer, Streamer(layer, channels=channels, dtype=torch.float64), tolerance, torch.Generator().manual_seed(seed)
    )
    g = trial.core.geometry
    lengths = (
        0,
        1,
        *(max(1, g.emitted_at(frame) + late) for frame in (0, 1, 7) for late in (-1, 0, g.stride // 2)),
    )
    lengths = tuple(sorted({*lengths, g.receptive_field + 5 * g.stride}))
    with torch.no_grad():
        worst = max(trial.live_equals_offline(n) for n in lengths)
        trial.emission_is_exact()
        trial.padding_does_not_leak(lengths)
    return StreamingReport(g, lengths, worst)


@dataclass(frozen=True)
class _Trial:
    layer: Layer
    core: Streamer
    tolerance: float
    generator: torch.Generator

    def signal(self, num_samples: int) -> Tensor:
        return torch.randn(axes(num_samples, self.core.channels), generator=self.generator, dtype=torch.float64)

    def session(self) -> Session:
        return Session(self.layer, channels=self.core.channels, dtype=torch.float64)

    def offline(self, x: Tensor) -> Tensor:
        y = self.layer(x[None])[0]
        expected = self.core.geometry.num_frames(len(x))
        _require(
            len(y) == expected,
            f"{len(x)} samples gave {len(y)} frames offline, the geometry says {expected}.",
        )
        return y

    def live_equals_offline(self, num_samples: int) -> float:
        x = self.signal(num_samples)
        session = self.session()
        live = [session.push(chunk) for chunk in x.split(self.cuts(num_samples))]
        return self.compare(torch.cat([*live, session.close()]), self.offline(x), f"of {num_samples} samples, live")

    def cuts(self, total: int) -> list[int]:
        """Ragged chunk lengths that add up to `total`, some 0 and some 1."""
        sizes = [0, min(1, total)]
        while (left := total - sum(sizes)) > 0:
            most = int(torch.randint(1, 2 * self.core.geometry.receptive_field + 2, (), generator=self.generator))
            sizes.append(min(left, most))
        return sizes

    def compare(self, y: Tensor, expected: Tensor, what: str) -> float:
        _require(y.shape == expected.shape, f"{what}: shape {tuple(y.shape)}, offline {tuple(expected.shape)}.")
        if not expected.numel():
            return 0.0
        difference = (y - expected).abs()
        worst = float(difference.max() / expected.abs().max().clip(min=torch.finfo(torch.float64).tiny))
        frame = int(difference.reshape(len(difference), -1).amax(1).argmax())
        _require(
            worst <= self.tolerance,
            f"{what}: frame {frame} is {worst:.1e} of the largest value off, {self.tolerance:.0e} is allowed.",
        )
        return worst

    def emission_is_exact(self) -> None:
        """Frames t = 0 ... 4: nothing one sample before emitted_at(t), the frame with that sample."""
        g = self.core.geometry
        x = self.signal(g.emitted_at(4))
        session, given = self.session(), 0
        for frame in range(5):
            if (early := g.emitted_at(frame) - 1) >= given:
                count = session.num_frames + len(session.push(x[given:early]))
                _require(count <= frame, f"frame {frame} came out before sample {early}, which completes it.")
                session.push(x[early : early + 1])
                given = early + 1
            _require(session.num_frames > frame, f"frame {frame} is late: {given} samples should complete it.")

    def padding_does_not_leak(self, lengths: tuple[int, ...]) -> None:
        rows = [self.signal(n) for n in lengths]
        batch = torch.full((len(rows), *axes(max(lengths), self.core.channels)), torch.nan, dtype=torch.float64)
        for padded, row in zip(batch, rows, strict=True):
            padded[: len(row)] = row
        y, frames = self.layer(batch, torch.tensor(lengths))
        for i, row in enumerate(rows):
            self.compare(y[i, : int(frames[i])], self.offline(row), f"row {i} of a batch padded with NaN")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)
