"""A waveform to rows of features: through a live session as soon as its samples allow them, or all of it at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speechconv.audio.waveform import Waveform
from speechconv.layer import placement
from speechconv.pipeline import Pipeline
from speechconv.session import Session


class FeatureError(ValueError):
    """Features that are no finite numbers."""


@torch.no_grad()
def check_real_features(pipe: Pipeline) -> None:
    """TypeError where they are complex, which no file or pipe of float32 holds."""
    dtype, device = placement(pipe) or (torch.float32, torch.device("cpu"))
    if pipe(torch.zeros(1, 0, dtype=dtype, device=device)).is_complex():
        raise TypeError(
            "the features are complex numbers; end the pipeline by 'power', 'magnitude' or 'real_imag' "
            "(stft.output=power)."
        )


def feature_rows(session: Session, waveform: Waveform) -> Iterator[NDArray[np.float32]]:
    """(n, channels) rows, n >= 0, block by block; the session is closed at the end.

    Raises:
        AudioError: a fault of the sound.
        FeatureError: NaN or infinite features.
    """
    for block in waveform.blocks():
        yield _finite_after(session, session.push(block))
    yield _finite_after(session, session.close())


def _finite_after(session: Session, features: Tensor) -> NDArray[np.float32]:
    return _finite(features, session.num_frames - len(features))


@torch.no_grad()
def whole_rows(pipe: Pipeline, waveform: Waveform) -> Iterator[NDArray[np.float32]]:
    """All rows at once, for a pipeline that cannot stream: memory grows with the length of the sound.

    Raises:
        AudioError: a fault of the sound.
        FeatureError: NaN or infinite features.
    """
    dtype, device = placement(pipe) or (torch.float32, torch.device("cpu"))
    samples = torch.from_numpy(np.concatenate([np.zeros(0, np.float32), *waveform.blocks()]))
    yield _finite(pipe(samples[None].to(device, dtype))[0], 0)


def _finite(features: Tensor, first: int) -> NDArray[np.float32]:
    """`features` as an array; the first of them is frame `first` of the sound."""
    rows = features.float().cpu().numpy()
    bad = ~np.isfinite(rows).all(axis=1)
    if bad.any():
        frame = first + int(bad.argmax())
        raise FeatureError(f"frame {frame} of the features holds NaN or an infinite value, though the sound does not.")
    return rows
