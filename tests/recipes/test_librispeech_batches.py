"""LibriSpeech's recipe: which utterances are learned from, and which of them share a batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import speechconv as sc
from recipes.ctc.processes import Processes
from recipes.ctc.trainer import Batch
from recipes.librispeech_ctc.batches import Ahead, Batches, Batching
from recipes.librispeech_ctc.config import load_config
from recipes.librispeech_ctc.corpus import SAMPLE_RATE, Utterance, find_utterances
from recipes.librispeech_ctc.examples import Example, choose
from recipes.librispeech_ctc.units import Characters
from tests.recipes.librispeech_recipe import TINY


def _examples(count: int) -> list[Example]:
    samples = np.random.default_rng(0).integers(1 * SAMPLE_RATE, 16 * SAMPLE_RATE, count).tolist()
    return [Example(Utterance(Path(f"{i}.flac"), "A", n), (1,)) for i, n in enumerate(samples)]


def _batches(examples: list[Example], *, seed: int = 0, most: int = 32, processes: Processes | None = None) -> Batches:
    return Batches(examples, Batching(100.0, 16.0), None, seed=seed, most=most, processes=processes or Processes())


def test_an_epoch_has_every_utterance_once_in_batches_of_one_length() -> None:
    examples = _examples(500)
    batches = _batches(examples)
    padded = 0.0
    for epoch in range(3):
        steps = range(epoch * batches.per_epoch, (epoch + 1) * batches.per_epoch)
        numbers = [batches.utterances(step).tolist() for step in steps]
        assert sorted(number for batch in numbers for number in batch) == list(range(500))
        for batch in numbers:
            longest = max(examples[number].utterance.samples for number in batch) / SAMPLE_RATE
            assert len(batch) * longest <= 100
            assert len(batch) <= 32
            padded += len(batch) * longest
    assert padded <= 1.1 * 3 * sum(one.utterance.samples for one in examples) / SAMPLE_RATE
    assert 3 * batches.per_epoch <= 1.15 * padded / 100 + 3 * 8  # the shortest are capped at 32


def test_batches_follow_from_seed_and_epoch_alone() -> None:
    examples = _examples(200)
    first, second, other = _batches(examples), _batches(examples), _batches(examples, seed=1)
    size = first.per_epoch
    expected = [first.utterances(step).tolist() for step in range(2 * size)]
    assert [second.utterances(step).tolist() for step in reversed(range(2 * size))] == expected[::-1]
    assert [other.utterances(step).tolist() for step in range(2 * size)] != expected
    assert sorted(map(sorted, expected[:size])) != sorted(map(sorted, expected[size:]))  # others share a batch


def test_shares_of_two_processes_are_the_whole_batch(corpus: Path) -> None:
    config = load_config(TINY)
    utterances = find_utterances(corpus / "train")
    chosen = choose(utterances, Characters(one.text for one in utterances), 10.0, lambda samples: samples).chosen
    whole, *shares = (
        Batches(chosen, config.batches, config.holes, seed=0, most=7, processes=processes)
        for processes in (Processes(), Processes(0, 2), Processes(1, 2))
    )
    front = sc.Pipeline.from_preset("logmel")

    def rows(batch: Batch) -> list[tuple[list[int], torch.Tensor]]:
        frames, lengths = front(batch.wav, batch.lengths)
        assert batch.mask is not None
        holed = batch.mask(frames, lengths)
        assert (holed != frames).any(2).any(1).all()
        said = batch.tokens.split(batch.counts.tolist())
        return [(tokens.tolist(), row[:n]) for tokens, row, n in zip(said, holed, lengths.tolist(), strict=True)]

    expected, even, odd = rows(whole(3)), rows(shares[0](3)), rows(shares[1](3))
    assert (len(expected), len(even), len(odd)) == (7, 4, 3)
    for number, (tokens, frames) in enumerate(expected):
        found, own = (odd if number % 2 else even)[number // 2]
        assert found == tokens
        assert (own - frames).abs().max() <= 1e-4 * frames.abs().max()  # float32: the mean in a hole


def test_batches_read_ahead_are_the_same(corpus: Path) -> None:
    utterances = find_utterances(corpus / "train")
    chosen = choose(utterances, Characters(one.text for one in utterances), 10.0, lambda samples: samples).chosen
    batches = Batches(chosen, Batching(8.0, 10.0), None, seed=0, most=16, processes=Processes())
    with Ahead(batches, 3, 9) as ahead:
        for step in range(4, 9):
            found, expected = ahead(step), batches(step)
            assert torch.equal(found.wav, expected.wav)
            assert torch.equal(found.tokens, expected.tokens)


def test_a_batch_too_small_for_an_utterance_is_told() -> None:
    with pytest.raises(ValueError, match=r"a batch of 4.0 s cannot hold an utterance of 1\d.\d s"):
        Batches(_examples(9), Batching(4.0, 16.0), None, seed=0, most=8, processes=Processes())


def test_utterances_that_cannot_be_learned_from_are_left_out() -> None:
    texts = {"A": 1.0, "AAAA": 0.07, "ABAB": 0.04, "B": 3.0}
    utterances = [Utterance(Path(text), text, round(seconds * SAMPLE_RATE)) for text, seconds in texts.items()]
    found = choose(
        utterances, Characters(texts), 2.0, lambda samples: samples // 160
    )  # 7 frames are enough for A-A-A-A
    assert [one.utterance.text for one in found.chosen] == ["A", "AAAA", "ABAB"]
    assert (found.too_long, found.too_dense) == (1, 0)
    assert "3 utterances" in found.summary()
    found = choose(utterances, Characters(texts), 2.0, lambda samples: samples // 161)
    assert [one.utterance.text for one in found.chosen] == ["A"]
    with pytest.raises(ValueError, match=r"of 4 utterances 4 are longer than 0.01 s, 0 have more tokens than frames"):
        choose(utterances, Characters(texts), 0.01, lambda samples: samples)
