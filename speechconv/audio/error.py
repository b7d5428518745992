"""What is wrong with a sound."""

from __future__ import annotations


class AudioError(ValueError):
    """A sound that cannot be read, in words for the person who has it.

    Args:
        message: what was expected, what came.
        stage: where it showed.

    Attributes:
        stage: "open", "decode", "channel", "resample", or "input" where a segment lies outside its sound.
    """

    def __init__(self, message: str, *, stage: str) -> None:
        super().__init__(message)
        self.stage = stage


def truncated(declared: int, found: int, sample_rate: int) -> AudioError:
    """The error of a sound that is shorter than its header says; both in samples of each channel."""
    return AudioError(
        f"is truncated or damaged: it declares {declared} samples ({declared / sample_rate:.3f} s), "
        f"of which {found} ({found / sample_rate:.3f} s) could be read.",
        stage="decode",
    )
