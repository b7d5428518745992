"""LibriSpeech's recipe: transcripts as characters and as pieces of words."""

from __future__ import annotations

from pathlib import Path

import pytest
import sentencepiece

from recipes.librispeech_ctc.corpus import find_utterances
from recipes.librispeech_ctc.units import Characters, Pieces, text_of, train_pieces


def test_characters_tell_every_transcript(corpus: Path) -> None:
    texts = [one.text for one in find_utterances(corpus / "train")]
    units = Characters(texts)
    assert set(units.vocabulary.tokens) == set("ABCDEFY▁")
    for text in texts:
        assert text_of(units.vocabulary.decode(units.encode(text))) == text


def test_pieces_have_sentencepieces_own_numbers(corpus: Path, tmp_path: Path) -> None:
    texts = [one.text for one in find_utterances(corpus / "train")]
    train_pieces(texts, 30, tmp_path / "pieces.model")
    units = Pieces(tmp_path / "pieces.model")
    judge = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "pieces.model"))
    assert len(units.vocabulary) == 30
    for text in texts:
        numbers = units.encode(text)
        assert numbers == judge.encode(text)
        assert text_of(units.vocabulary.decode(numbers)) == judge.decode(numbers) == text
    assert sum(map(len, map(units.encode, texts))) < sum(map(len, texts)) / 2
    with pytest.raises(ValueError, match=r"the vocabulary has no 'Z', 'ä'; it has "):
        units.encode("BäD Z")


@pytest.mark.parametrize(("size", "why"), [(5, "smaller than required_chars"), (5000, "set it to a value <=")])
def test_a_size_that_the_transcripts_cannot_give_is_told(tmp_path: Path, size: int, why: str) -> None:
    with pytest.raises(ValueError, match=f"no vocabulary of {size} pieces from 2 transcripts: .*{why}"):
        train_pieces(["BAD FACE", "ACE"], size, tmp_path / "pieces.model")


def test_a_file_that_holds_no_pieces_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"expected characters, or a file that prepare.py made"):
        Pieces(tmp_path / "none.model")
    (tmp_path / "none.model").write_text("no model")
    with pytest.raises(ValueError, match="is not a sentencepiece model"):
        Pieces(tmp_path / "none.model")
