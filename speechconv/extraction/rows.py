"""A waveform through a live session: rows of features as soon as its samples allow them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from speechconv.audio.waveform import Waveform
from speechconv.session import Session


class FeatureError(ValueError):
    """Features that are no finite numbers."""


def feature_rows(session: Session, waveform: Waveform) -> Iterator[NDArray[np.float32]]:
    """(n, channels) rows, n >= 0, block by block; the session is closed at the end.

    Raises:
        AudioError: a fault of the sound.
        FeatureError: NaN or infinite features.
    """
    for block in waveform.blocks():
        yield _finite(session.push(block), session)
    yield _finite(session.close(), session)


def _finite(features: Tensor, session: Session) -> NDArray[np.float32]:
    rows = features.float().numpy()
    bad = ~np.isfinite(rows).all(axis=1)
    if bad.any():
        frame = session.num_frames - len(rows) + int(bad.argmax())
        raise FeatureError(f"frame {frame} of the features holds NaN or an infinite value, though the sound does not.")
    return rows
