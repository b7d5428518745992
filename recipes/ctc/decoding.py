"""Greedy CTC decoding: the best token of each frame, repetitions and blanks taken out, at once or frame by frame."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from recipes.ctc.vocabulary import BLANK


@dataclass(frozen=True)
class Spoken:
    """A token that was heard.

    Args:
        token: its number.
        frame: the first that says it.
    """

    token: int
    frame: int


class GreedyDecoder:
    """Tokens out of frames as they come; any chunking gives the same.

    Example:
        >>> import torch
        >>> scores = torch.eye(3)[[0, 1, 1, 0, 1, 2]]
        >>> decoder = GreedyDecoder()
        >>> [spoken.token for spoken in (*decoder.push(scores[:2]), *decoder.push(scores[2:]))]
        [1, 1, 2]
    """

    def __init__(self) -> None:
        self._last, self._frames = BLANK, 0

    def push(self, scores: Tensor) -> list[Spoken]:
        """Tokens that begin in these (frames, tokens) scores, of any increasing function of the probability."""
        heard = []
        for token in scores.argmax(-1).tolist() if len(scores) else []:
            if token not in (BLANK, self._last):
                heard.append(Spoken(token, self._frames))
            self._last = token
            self._frames += 1
        return heard


def decode(scores: Tensor) -> list[int]:
    """Token numbers of a whole utterance's (frames, tokens) scores."""
    return [spoken.token for spoken in GreedyDecoder().push(scores)]
