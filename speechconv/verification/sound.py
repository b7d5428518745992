"""What does the bank do to sound? Its magnitudes against the reference's on the same frames, in dB.

d[t, k] = 20 log10 |X[t, k]| - 20 log10 |X0[t, k]|        where |X0| is within 70 dB of its largest value
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from speechconv.verification.answers import SoundAnswer
from speechconv.verification.drift import Halves, aligned
from speechconv.verification.filter_bank import FilterBank

RANGE_DB = 70.0
FLOOR_DB = 140.0
"""A magnitude further below the reference's peak counts as this far below: digital silence is at no finite distance."""
BLOCK_VALUES = 1 << 22


def sound(bank: FilterBank, reference: FilterBank, words: str, wav: Tensor, audio_name: str) -> SoundAnswer:
    """Differences on a waveform; by the bank's hop, else the reference's, else a quarter of a kernel.

    Args:
        bank: filters.
        reference: as many, compared frame by frame; the shorter kernels get zeros on both sides.
        words: what the reference is, for the reader.
        wav: (samples,).
        audio_name: of the waveform, for the reader.

    Raises:
        ValueError: banks that do not fit each other; a waveform shorter than one kernel, or silent.

    >>> bank = FilterBank("f", torch.eye(2, 8).double(), None, "real", 16000, hop_length=4)
    >>> louder = FilterBank("f", 10 * torch.eye(2, 8).double(), None, "real", 16000, hop_length=4)
    >>> round(sound(louder, bank, "itself, softer", torch.ones(100), "ones").mean_db, 6)
    20.0
    """
    ours, theirs = aligned(bank, reference)
    taps = ours[0].shape[1]
    hop = bank.hop_length or reference.hop_length or max(1, taps // 4)
    if len(wav) < taps:
        raise ValueError(f"{audio_name} has {len(wav)} samples, the filters have {taps}; give a longer sound.")
    frames = wav.double().unfold(0, taps, hop)
    peak = max(float(block.max()) for block in _magnitudes(frames, theirs))
    if peak == 0:
        raise ValueError(f"{audio_name} is silent to {words}; give a sound.")
    floor = peak * 10 ** (-FLOOR_DB / 20)
    count, total, squares, signed = (torch.zeros(len(ours[0]), dtype=torch.float64) for _ in range(4))
    largest = 0.0
    for x, x0 in zip(_magnitudes(frames, ours), _magnitudes(frames, theirs), strict=True):
        heard = x0 >= peak * 10 ** (-RANGE_DB / 20)
        difference = 20 * (x.clamp(min=floor) / x0.clamp(min=floor)).log10() * heard
        count += heard.sum(0)
        total += difference.abs().sum(0)
        squares += difference.square().sum(0)
        signed += difference.sum(0)
        largest = max(largest, float(difference.abs().max()))
    cells = float(count.sum())
    return SoundAnswer(
        audio=audio_name,
        reference=words,
        mean_db=float(total.sum()) / cells,
        max_db=largest,
        rms_db=math.sqrt(float(squares.sum()) / cells),
        per_bin_db=(signed / count).tolist(),
    )


def _magnitudes(frames: Tensor, halves: Halves) -> Iterator[Tensor]:
    """|X| of a block of frames after another, (n, filters)."""
    real, imag = halves
    for block in frames.split(max(1, BLOCK_VALUES // frames.shape[1])):
        x = F.linear(block, real)
        yield x.abs() if imag is None else torch.hypot(x, F.linear(block, imag))
