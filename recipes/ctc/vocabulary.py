"""Tokens of a recogniser and their numbers; number 0 is CTC's blank."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

BLANK = 0


@dataclass(frozen=True)
class Vocabulary:
    """What a recogniser can say.

    Args:
        tokens: without the blank; the first has the number 1.

    Raises:
        ValueError: none, or one that comes twice.

    Example:
        >>> words = Vocabulary(("zero", "one"))
        >>> words.encode(["one", "zero"]), words.decode([2, 1]), len(words)
        ([2, 1], ['one', 'zero'], 3)
    """

    tokens: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.tokens:
            raise ValueError("a vocabulary needs at least one token.")
        twice = sorted({token for token in self.tokens if self.tokens.count(token) > 1})
        if twice:
            raise ValueError(f"tokens that the vocabulary names twice: {', '.join(map(repr, twice))}.")

    def __len__(self) -> int:
        """Outputs of a recogniser, the blank among them."""
        return len(self.tokens) + 1

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """Numbers of tokens.

        Raises:
            ValueError: one that the vocabulary has not.
        """
        tokens = list(tokens)
        unknown = sorted({token for token in tokens if token not in self._numbers})
        if unknown:
            known = ", ".join(map(repr, self.tokens[:40])) + (", ..." if len(self.tokens) > 40 else "")
            raise ValueError(f"the vocabulary has no {', '.join(map(repr, unknown))}; it has {known}.")
        return [self._numbers[token] for token in tokens]

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {token: number for number, token in enumerate(self.tokens, 1)}

    def decode(self, numbers: Iterable[int]) -> list[str]:
        return [self.tokens[number - 1] for number in numbers]

    def check_same(self, other: Sequence[str], where: str) -> None:
        """ValueError unless `other`, the tokens that `where` was made with, are these."""
        if tuple(other) != self.tokens:
            raise ValueError(
                f"{where} was made with {len(other)} tokens ({_start(other)}), this data has {len(self.tokens)} "
                f"({_start(self.tokens)}); use the data that it was trained on, or train another."
            )


def _start(tokens: Sequence[str]) -> str:
    return " ".join(tokens[:12]) + (" ..." if len(tokens) > 12 else "")
