"""What a transcript is told in: characters, or pieces of words (BPE) that sentencepiece found in the transcripts.

    characters    T H E ▁ C A T
    pieces        ▁THE ▁C AT

▁ stands for the space, so tokens put together and ▁ put back are the text: a run needs no sentencepiece to be tested.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from recipes.ctc.vocabulary import Vocabulary

CHARACTERS = "characters"
SPACE = "▁"


class Units(Protocol):
    """How transcripts become tokens."""

    @property
    def vocabulary(self) -> Vocabulary: ...

    def encode(self, text: str) -> list[int]:
        """Token numbers of a transcript; ValueError for a character that the vocabulary cannot tell."""
        ...


class Characters:
    """Every character of some transcripts is a token.

    Example:
        >>> units = Characters(["THE CAT"])
        >>> units.vocabulary.tokens, units.encode("A HAT"), text_of(["A", SPACE, "H", "A", "T"])
        (('A', 'C', 'E', 'H', 'T', '▁'), [1, 6, 4, 1, 5], 'A HAT')
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self.vocabulary = Vocabulary(tuple(sorted(set().union(*map(spaced, texts)))))

    def encode(self, text: str) -> list[int]:
        return self.vocabulary.encode(spaced(text))


class Pieces:
    """The pieces of a sentencepiece model, which numbers them as the vocabulary does: its 0, the unknown, is the blank.

    Args:
        model: file that prepare.py made.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no such model.
        ImportError: sentencepiece is not installed.
    """

    def __init__(self, model: Path) -> None:
        if not model.is_file():
            raise FileNotFoundError(f"no vocabulary {model}; expected {CHARACTERS}, or a file that prepare.py made.")
        sentencepiece = _sentencepiece()
        try:
            self._processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
        except RuntimeError:
            raise ValueError(f"{model} is not a sentencepiece model; expected a file that prepare.py made.") from None
        if self._processor.unk_id() != 0 or any(self._processor.is_control(i) for i in range(len(self._processor))):
            raise ValueError(f"{model} has control symbols, or an unknown that is not 0; make it by prepare.py.")
        self.vocabulary = Vocabulary(tuple(self._processor.id_to_piece(list(range(1, len(self._processor))))))

    def encode(self, text: str) -> list[int]:
        return self.vocabulary.encode(self._processor.encode(text, out_type=str))


def units_of(vocabulary: str, texts: Iterable[str]) -> Units:
    """`CHARACTERS` of the transcripts, or the pieces of a file."""
    return Characters(texts) if vocabulary == CHARACTERS else Pieces(Path(vocabulary))


def train_pieces(texts: Sequence[str], size: int, model: Path) -> None:
    """Find `size` pieces, the unknown among them, and write them to `model`.

    Raises:
        ValueError: more pieces than the transcripts can give, or fewer than they have characters.
        ImportError: sentencepiece is not installed.
    """
    sentencepiece, trained = _sentencepiece(), io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=trained,
            model_type="bpe",
            vocab_size=size,
            character_coverage=1.0,
            normalization_rule_name="identity",
            unk_id=0,
            bos_id=-1,
            eos_id=-1,
            minloglevel=2,
        )
    except RuntimeError as error:
        why = str(error).rpartition("] ")[2]
        raise ValueError(f"no vocabulary of {size} pieces from {len(texts)} transcripts: {why}") from None
    model.parent.mkdir(parents=True, exist_ok=True)
    model.write_bytes(trained.getvalue())


def text_of(tokens: Sequence[str]) -> str:
    """The text that tokens of either kind tell."""
    return "".join(tokens).replace(SPACE, " ").strip()


def check_tellable(tokens: Sequence[str], texts: Iterable[str], where: str) -> None:
    """ValueError unless `tokens` can tell every character of the transcripts, which are those of `where`."""
    missing = sorted(set().union(*map(spaced, texts)) - set("".join(tokens)))
    if missing:
        raise ValueError(
            f"the run's vocabulary cannot tell {', '.join(map(repr, missing))} of {where}; it has "
            f"{' '.join(tokens[:12])} ...; test on transcripts written as those that it was trained on."
        )


def spaced(text: str) -> str:
    """Each character a token of its own.

    >>> spaced("A HAT")
    'A▁HAT'
    """
    return text.replace(" ", SPACE)


def _sentencepiece() -> Any:
    try:
        import sentencepiece
    except ImportError as error:
        raise ImportError(
            f"sentencepiece, which finds pieces of words, does not load ({error}); pip install sentencepiece, or take "
            f"--vocabulary {CHARACTERS}."
        ) from None
    return sentencepiece
