"""What a header may claim and be believed; beyond it is damage, or would take memory and hours."""

from __future__ import annotations

from speechconv.audio.error import AudioError

MOST_CHANNELS = 128
HIGHEST_RATE = 768_000
"""Hz; a sound of a higher rate is not resampled."""
LARGEST_RATIO = 64
"""Of two sample rates between which a sound is resampled."""


def check_channels(channels: int) -> None:
    """AudioError where a header claims more channels than microphones have."""
    if channels > MOST_CHANNELS:
        raise AudioError(
            f"declares {channels} channels; expected 1 to {MOST_CHANNELS}, so the header is damaged.", stage="decode"
        )


def check_resampling(source: int, wanted: int) -> None:
    """AudioError where resampling would make far more or far fewer samples than there are."""
    if source > HIGHEST_RATE or max(source, wanted) > LARGEST_RATIO * min(source, wanted):
        raise AudioError(
            f"declares {source} Hz, which is not resampled to {wanted} Hz; expected up to {HIGHEST_RATE} Hz and a "
            f"ratio of at most {LARGEST_RATIO}. If the header is wrong, write the true rate into it.",
            stage="resample",
        )
