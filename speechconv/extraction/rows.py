"""A waveform to rows of features: a short one at once, alone or with others of about its length; a long one by blocks.

Equal input gives equal bits: a sound's own length decides which way it goes, and what shares its batch never shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speechconv.extraction.sound import Samples
from speechconv.pipeline import Pipeline
from speechconv.plan import NotStreamable
from speechconv.session import Session
from speechconv.utterance import freeze_on, frozen_twin, layers_of_policy

SHORTEST_BUCKET = 1 << 12
"""Samples; each next bucket has twice as many."""


class FeatureError(ValueError):
    """Features that are no finite numbers."""


@torch.no_grad()
def check_real_features(pipe: Pipeline, dtype: torch.dtype, device: torch.device) -> None:
    """TypeError where they are complex, which no store holds."""
    if pipe(torch.zeros(1, 0, dtype=dtype, device=device)).is_complex():
        raise TypeError(
            "the features are complex numbers; end the pipeline by 'power', 'magnitude' or 'real_imag' "
            "(stft.output=power)."
        )


def live(session: Session, blocks: Iterable[Samples]) -> Iterator[Tensor]:
    """(n, channels) features, n >= 0, as soon as their samples are there; the session is closed at the end."""
    for block in blocks:
        yield session.push(block)
    yield session.close()


class ShortSounds:
    """Features of whole sounds, `rows` of them at a time.

    Sounds of one bucket share a batch of a fixed shape (rows, samples), in which rows that are missing are silent: only
    then can the neighbours' number not reach a row's bits. That neither their content nor the row's place reaches them
    is tried out for each bucket before it is used; where it fails, its sounds go alone.

    Args:
        pipe: in eval mode.
        rows: 1 takes each sound alone, at its own length.
        dtype, device: of the samples that `pipe` takes.
    """

    def __init__(self, pipe: Pipeline, rows: int, dtype: torch.dtype, device: torch.device) -> None:
        self.rows = rows
        self._pipe = pipe
        self._dtype, self._device = dtype, device
        self._independent: dict[int, bool] = {}

    def bucket(self, sound: Samples) -> int:
        """Samples of the batch that this sound belongs to."""
        return max(SHORTEST_BUCKET, 1 << (len(sound) - 1).bit_length()) if self.rows > 1 else len(sound)

    @torch.no_grad()
    def __call__(self, sounds: Sequence[Samples]) -> list[Tensor]:
        """(frames, channels) of each of at most `rows` sounds, which share a bucket."""
        if self.rows == 1:
            return [self._alone(sound) for sound in sounds]
        size = self.bucket(sounds[0])
        if size not in self._independent:
            self._independent[size] = self._rows_are_independent(size)
        if self._independent[size]:
            return self._together(sounds, size)
        return [self._together([sound], size, rows=1)[0] for sound in sounds]

    def _alone(self, sound: Samples) -> Tensor:
        x = torch.empty(
            1, len(sound), dtype=self._dtype, device=self._device
        )  # torch's own memory is aligned alike each time
        x[0] = torch.from_numpy(sound)
        return self._pipe(x)[0]

    def _together(self, sounds: Sequence[Samples], size: int, rows: int | None = None) -> list[Tensor]:
        x = torch.zeros(rows or self.rows, size, dtype=self._dtype, device=self._device)
        lengths = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        for row, sound in enumerate(sounds):
            x[row, : len(sound)] = torch.from_numpy(sound)
            lengths[row] = len(sound)
        y, frames = self._pipe(x, lengths)
        return [y[row, : int(frames[row])] for row in range(len(sounds))]

    def _rows_are_independent(self, size: int) -> bool:
        """Whether each sound has the same bits in every row, whatever stands in the others."""
        noise = np.random.default_rng(0)
        sounds = [
            noise.standard_normal(size - number % 3 * (size // 7), np.float32) * np.float32(0.25)
            for number in range(self.rows)
        ]
        alone = [self._together([sound], size)[0] for sound in sounds]
        for shift in range(self.rows):
            turned = self._together([*sounds[shift:], *sounds[:shift]], size)
            if not all(torch.equal(a, b) for a, b in zip([*alone[shift:], *alone[:shift]], turned, strict=True)):
                return False
        return True


class LongSounds:
    """Features of a sound of any length, in bounded memory where its pipeline can stream.

    Statistics over the utterance come from one more pass for each layer that takes them; the numbers are those of the
    whole utterance at once. A pipeline that cannot stream even so (a maximum over the utterance, a least length) takes
    the sound whole.

    Args:
        pipe: in eval mode.
        dtype, device: of the samples that `pipe` takes.
    """

    def __init__(self, pipe: Pipeline, dtype: torch.dtype, device: torch.device) -> None:
        self._pipe = pipe
        self._dtype, self._device = dtype, device
        self._live = frozen_twin(pipe)
        self._awaiting = layers_of_policy(self._live, "utterance")

    @cached_property
    def _session(self) -> Session | None:
        """None for a pipeline that cannot stream."""
        freeze_on(self._live, self._awaiting, [])  # on nothing yet: a session asks for statistics
        try:
            return Session(self._live, dtype=self._dtype)
        except NotStreamable:
            return None

    def __call__(self, read: Callable[[], Iterator[Samples]]) -> Iterator[Tensor]:
        """(n, channels) features, n >= 0, part by part; `read` opens the sound from its beginning, once per pass."""
        if self._session is None:
            yield self._whole(read)
            return
        freeze_on(self._live, self._awaiting, [read], dtype=self._dtype)
        self._session.reset()
        yield from live(self._session, read())

    @torch.no_grad()
    def _whole(self, read: Callable[[], Iterator[Samples]]) -> Tensor:
        samples = torch.from_numpy(np.concatenate([np.zeros(0, np.float32), *read()]))
        return self._pipe(samples[None].to(self._device, self._dtype))[0]


def as_array(features: Tensor, dtype: str, first: int = 0) -> NDArray:
    """`features` as an array of `dtype`; the first of them is frame `first` of the sound.

    Raises:
        FeatureError: NaN, infinite, or beyond what `dtype` holds.
    """
    rows = features.float().cpu().numpy()
    with np.errstate(over="ignore", invalid="ignore"):
        stored = rows.astype(dtype, copy=False)
        finite = np.isfinite(stored.sum(dtype=np.float32)) or np.isfinite(stored).all()  # the sum is the quicker one
    if not finite:
        frame = first + int((~np.isfinite(stored).all(axis=1)).argmax())
        raise FeatureError(
            f"frame {frame} of the features is beyond the range of {dtype}; store float32."
            if np.isfinite(rows).all()
            else f"frame {frame} of the features holds NaN or an infinite value, though the sound does not."
        )
    return stored
