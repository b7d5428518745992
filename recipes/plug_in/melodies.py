"""Melodies to recognise: tones in noise, one token each, at 16 kHz; as many as are asked for, from a seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

SAMPLE_RATE = 16000
PITCHES = (400.0, 700.0, 1200.0, 2000.0)
"""Hz of tokens 1, 2, 3, 4; token 0 is CTC's blank."""

TONE, GAP = 1600, 800
"""Samples of a tone and of the silence behind it: 100 and 50 ms."""

TOKENS = len(PITCHES) + 1


@dataclass(frozen=True)
class Melodies:
    """A padded batch.

    Attributes:
        wav: (batch, samples).
        lengths: (batch,) int64 valid samples.
        tokens: (batch, tones), 0 behind a row's last.
        counts: (batch,) int64 tones.
    """

    wav: Tensor
    lengths: Tensor
    tokens: Tensor
    counts: Tensor


def batches(steps: int, *, size: int = 8, seed: int = 0) -> Iterator[Melodies]:
    """`steps` batches of `size` melodies each."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        rows = [_melody(generator) for _ in range(size)]
        wavs, tokens = [wav for wav, _ in rows], [token for _, token in rows]
        yield Melodies(
            pad_sequence(wavs, batch_first=True),
            torch.tensor(list(map(len, wavs))),
            pad_sequence(tokens, batch_first=True),
            torch.tensor(list(map(len, tokens))),
        )


def _melody(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """1 ... 4 tones, each as loud as speech, and up to 50 ms of silence before them."""
    count, wait = (int(torch.randint(low, high, (), generator=generator)) for low, high in ((1, 5), (0, GAP)))
    tokens = torch.randint(1, TOKENS, (count,), generator=generator)
    time = torch.arange(TONE) / SAMPLE_RATE
    tones = 0.3 * torch.sin(2 * torch.pi * torch.tensor(PITCHES)[tokens - 1, None] * time)
    clean = torch.cat([torch.zeros(wait), torch.nn.functional.pad(tones, (0, GAP)).flatten()])
    return clean + 0.01 * torch.randn(len(clean), generator=generator), tokens
