"""What the CTC recipes share: vocabulary, decoding, scores and their intervals, run folders, the trainer's steps."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import jiwer
import numpy as np
import pytest
import torch
from torch import Tensor

import speechconv as sc
from recipes.ctc.decoding import GreedyDecoder, decode
from recipes.ctc.recogniser import Recogniser
from recipes.ctc.run_folder import RunFolder
from recipes.ctc.scoring import Scores, difference, score, word_error_rate
from recipes.ctc.trainer import Batch, Training, ctc_loss, train
from recipes.ctc.vocabulary import Vocabulary

WORDS = Vocabulary(("low", "high"))


# Vocabulary and decoding.


def test_a_vocabulary_says_what_it_does_not_know() -> None:
    with pytest.raises(ValueError, match=r"has no 'middle'; it has 'low', 'high'"):
        WORDS.encode(["low", "middle"])
    with pytest.raises(ValueError, match="at least one token"):
        Vocabulary(())
    with pytest.raises(ValueError, match="names twice: 'a'"):
        Vocabulary(("a", "b", "a"))


def test_a_vocabulary_of_another_data_set_is_told() -> None:
    WORDS.check_same(["low", "high"], "the run")
    with pytest.raises(ValueError, match=r"the run was made with 3 tokens \(a b c\), this data has 2 \(low high\)"):
        WORDS.check_same(["a", "b", "c"], "the run")


def collapsed(path: list[int]) -> list[int]:
    """CTC's rule as the paper puts it: repetitions go, then blanks."""
    return [token for token, _ in itertools.groupby(path) if token]


def test_decoding_takes_repetitions_and_blanks_out_however_the_frames_come() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        path = torch.randint(3, (int(torch.randint(12, (1,), generator=generator)),), generator=generator)
        scores = torch.eye(3)[path] + 0.1 * torch.rand(len(path), 3, generator=generator)
        assert decode(scores) == collapsed(path.tolist())
        cut = int(torch.randint(len(path) + 1, (1,), generator=generator))
        decoder = GreedyDecoder()
        pieces = [*decoder.push(scores[:cut]), *decoder.push(scores[cut:cut]), *decoder.push(scores[cut:])]
        assert [spoken.token for spoken in pieces] == decode(scores)
        for spoken in pieces:
            assert path[spoken.frame] == spoken.token
            assert spoken.frame == 0 or path[spoken.frame - 1] != spoken.token


# Scores.


def test_errors_are_jiwers_and_the_rate_counts_words_not_utterances() -> None:
    references = ["one two three", "four", "five six"]
    hypotheses = ["one three", "four four", "five six"]
    scores = score([text.split() for text in references], [text.split() for text in hypotheses])
    assert scores == Scores(errors=(1, 1, 0), words=(3, 1, 2))
    assert scores.rate == pytest.approx(jiwer.wer(references, hypotheses))


def test_an_empty_hypothesis_is_all_deletions() -> None:
    assert score([["one", "two"]], [[]]).errors == (2,)


def test_nothing_to_score_is_told() -> None:
    with pytest.raises(ValueError, match="the test set is empty"):
        score([], [])
    with pytest.raises(ValueError, match="no words"):
        score([["one"], []], [["one"], []])
    with pytest.raises(ValueError, match="expected 1 hypotheses"):
        score([["one"]], [])


def random_scores(seed: int, utterances: int = 60) -> Scores:
    generator = np.random.default_rng(seed)
    words = generator.integers(3, 8, utterances)
    return Scores(tuple(generator.binomial(words, 0.2).tolist()), tuple(words.tolist()))


def test_the_interval_has_the_width_of_the_rates_standard_error() -> None:
    """The judge is the delta method: the standard error of a ratio of sums."""
    scores = random_scores(0, 400)
    errors, words = np.array(scores.errors), np.array(scores.words)
    residual = errors - scores.rate * words
    standard_error = np.sqrt(len(words) * residual.var(ddof=1)) / words.sum()
    found = word_error_rate([scores])
    assert found.value == pytest.approx(scores.rate)
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * standard_error, rel=0.05)


def test_the_mean_over_folds_weighs_speakers_alike() -> None:
    few, many = Scores((1,), (2,)), Scores((0,) * 50, (4,) * 50)
    assert word_error_rate([few, many]).value == pytest.approx(0.25)


def test_a_paired_difference_is_narrower_than_the_two_intervals_apart() -> None:
    """The same utterances are drawn for both, so what is hard for both cancels."""
    one = random_scores(1)
    other = Scores(tuple(max(0, errors - (i % 10 == 0)) for i, errors in enumerate(one.errors)), one.words)
    paired = difference([one], [other])
    alone = word_error_rate([one])
    assert paired.value == pytest.approx(one.rate - other.rate)
    assert paired.high - paired.low < (alone.high - alone.low) / 2
    assert difference([one], [one]).low == difference([one], [one]).high == 0
    with pytest.raises(ValueError, match="other utterances"):
        difference([one], [random_scores(2)])


# Run folders.


def test_a_run_folder_of_another_config_is_refused_by_what_differs(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    assert not run.begin({"training": {"steps": 3, "seed": 0}})
    run.save_checkpoint({"step": 1})
    assert run.begin({"training": {"seed": 0, "steps": 3}})
    with pytest.raises(ValueError, match=r"training\.steps was 3, is now 4; choose another --output"):
        run.begin({"training": {"steps": 4, "seed": 0}})


def test_a_folder_that_is_no_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no config\.json; expected the folder of a run"):
        RunFolder(tmp_path).config()


# Training: tones of two heights are its words.


def tones(step: int) -> Batch:
    generator = torch.Generator().manual_seed(step)
    said = torch.randint(1, 3, (6, 2), generator=generator)
    time = torch.arange(1600) / 8000
    sounds = torch.stack([torch.cat([torch.sin(6.28 * 500 * token * time) for token in row]) for row in said])
    return Batch(sounds, torch.full((6,), 3200), said.flatten(), torch.full((6,), 2))


def recogniser(seed: int = 0) -> Recogniser:
    torch.manual_seed(seed)
    front = sc.Pipeline.from_preset("logmel", sample_rate=8000, mel={"n_mels": 8})
    acoustic = sc.Sequential(sc.BatchNorm(8), sc.Conv1d(8, 8, 3, stride=2, padding="same"), torch.nn.Dropout(0.1))
    return Recogniser(front, acoustic, 8, len(WORDS))


SETTINGS = Training(steps=24, learning_rate=3e-2, warmup=4, batch=6, log_every=4, save_every=8)


def weights(model: Recogniser) -> list[Tensor]:
    return list(model.state_dict().values())


def test_the_loss_of_ctc_is_the_sum_over_all_alignments() -> None:
    """The judge is brute force: all paths of a short utterance."""
    log_probs = torch.randn(1, 4, 3, dtype=torch.float64).log_softmax(2)
    batch = Batch(torch.zeros(1, 1), torch.tensor([1]), torch.tensor([2, 1]), torch.tensor([2]))
    paths = (path for path in itertools.product(range(3), repeat=4) if collapsed(list(path)) == [2, 1])
    total = sum(float(log_probs[0, torch.arange(4), list(path)].sum().exp()) for path in paths)
    assert float(ctc_loss(log_probs, torch.tensor([4]), batch)) == pytest.approx(-np.log(total))


def test_two_runs_with_one_seed_give_the_same_weights(tmp_path: Path) -> None:
    models = []
    for name in "ab":
        run, model = RunFolder(tmp_path / name), recogniser()
        run.begin({})
        train(model, tones, SETTINGS, run, resume=False)
        models.append(model)
    for one, other in zip(*map(weights, models), strict=True):
        assert torch.equal(one, other)
    log = [line["loss"] for line in map(json.loads, (tmp_path / "a" / "log.jsonl").read_text().splitlines())]
    assert log[-1] < log[0] / 2


def test_a_run_that_was_stopped_ends_with_the_weights_of_one_that_was_not(tmp_path: Path) -> None:
    whole = recogniser()
    run = RunFolder(tmp_path / "whole")
    run.begin({})
    train(whole, tones, SETTINGS, run, resume=False)

    class Stopped(Exception):
        pass

    def until(step: int) -> Batch:
        if step == 13:
            raise Stopped
        return tones(step)

    run = RunFolder(tmp_path / "stopped")
    run.begin({})
    with pytest.raises(Stopped):
        train(recogniser(), until, SETTINGS, run, resume=False)
    assert run.begin({})
    again = recogniser(seed=5)  # what it begins as is overwritten
    train(again, tones, SETTINGS, run, resume=True)
    for one, other in zip(weights(whole), weights(again), strict=True):
        assert torch.equal(one, other)
    log = [json.loads(line)["step"] for line in (run.path / "log.jsonl").read_text().splitlines()]
    assert log == [4, 8, 12, 16, 20, 24]  # 12, which the stopped one had told, comes once


def test_a_loss_that_is_no_number_ends_the_training(tmp_path: Path) -> None:
    model = recogniser()
    with torch.no_grad():
        model.head.bias.fill_(torch.nan)
    run = RunFolder(tmp_path / "run")
    run.begin({})
    with pytest.raises(RuntimeError, match="the loss is nan in step 0; lower the learning rate"):
        train(model, tones, SETTINGS, run, resume=False)
    assert not (run.path / "checkpoint.pt").exists()


def test_the_pipeline_of_a_recogniser_is_the_recogniser() -> None:
    model = recogniser().eval()
    batch = tones(0)
    lengths = torch.tensor([3200, 3000, 1500, 800, 401, 0])
    expected, counts = model(batch.wav, lengths)
    scores, frames = model.as_pipeline()(batch.wav, lengths)
    assert torch.equal(counts, frames)
    for row, count in enumerate(counts.tolist()):
        assert torch.allclose(scores[row, :count].log_softmax(1), expected[row, :count], atol=1e-5)


def test_a_recogniser_of_foreign_parts_does_not_pretend_to_stream() -> None:
    model = Recogniser(sc.Pipeline.from_preset("logmel"), torch.nn.Identity(), 80, 3)
    with pytest.raises(TypeError, match=r"Identity cannot stream; expected a speechconv\.Sequential"):
        model.as_pipeline()


def test_a_front_end_whose_stage_is_called_as_the_head_is_refused() -> None:
    """It would have been the head that listens to the waveform."""
    stages = dict(recogniser().front.named_children())
    front = sc.Pipeline({"stft": stages["stft"], "mel": stages["mel"], "head": stages["log"]}, sample_rate=8000)
    with pytest.raises(ValueError, match="stages of the front-end must not be called head; rename them"):
        Recogniser(front, sc.Sequential(sc.LayerNorm(8)), 8, 3).as_pipeline()
