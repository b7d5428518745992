"""What is wrong with a sound."""

from __future__ import annotations


class AudioError(ValueError):
    """A sound that cannot be read, in words for the person who has it.

    Args:
        message: what was expected, what came.
        stage: where it showed.

    Attributes:
        stage: "open", "decode", "channel" or "resample".
    """

    def __init__(self, message: str, *, stage: str) -> None:
        super().__init__(message)
        self.stage = stage
