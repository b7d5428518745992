"""The examples of the toolkits that install beside torch, as their README says, and the melodies they learn."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch

from recipes.plug_in import huggingface, lhotse, speechbrain, torchaudio
from recipes.plug_in.melodies import GAP, PITCHES, SAMPLE_RATE, TONE, batches
from recipes.plug_in.outcome import Outcome, filters_of, outcome
from tests.adapters.encoders import feature_encoder, mel_pipeline
from tests.recipes.examples import README, assert_learns

PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
EXAMPLES: dict[str, Callable[[], Outcome | dict[str, Outcome]]] = {
    "huggingface": huggingface.main,
    "lhotse": lhotse.main,
    "speechbrain": speechbrain.main,
    "torchaudio": torchaudio.main,
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_learns_and_moves_the_filters(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert_learns(name, EXAMPLES[name], capsys)


@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_python_in_the_readme_runs(number: int) -> None:
    exec(compile(PYTHON[number], "README.md", "exec"), {})


def test_melodies_are_tones_of_their_pitches_in_ragged_rows() -> None:
    batch = next(batches(1, size=16, seed=3))
    assert len(set(batch.lengths.tolist())) > 8
    assert batch.wav.shape == (16, int(batch.lengths.max()))
    for wav, length, tokens, count in zip(batch.wav, batch.lengths, batch.tokens, batch.counts, strict=True):
        assert not wav[length:].any()
        assert not tokens[count:].any()
        for place in range(int(count)):
            start = int(length) - (int(count) - place) * (TONE + GAP)
            spectrum = torch.fft.rfft(wav[start : start + TONE]).abs()
            assert int(spectrum.argmax()) * SAMPLE_RATE / TONE == PITCHES[int(tokens[place]) - 1]


def test_a_seed_gives_the_same_melodies() -> None:
    first, again = (list(batches(2, seed=5)) for _ in range(2))
    assert all(torch.equal(one.wav, two.wav) for one, two in zip(first, again, strict=True))
    assert not torch.equal(first[0].tokens, next(batches(1, seed=6)).tokens)


@pytest.mark.parametrize("make", [mel_pipeline, feature_encoder])
def test_an_outcome_tells_how_far_the_filters_moved(make: Callable[[], torch.nn.Module]) -> None:
    encoder = make()
    before = filters_of(encoder)
    assert outcome([4.0] * 5 + [1.0] * 5, before, encoder) == Outcome([4.0] * 5 + [1.0] * 5, 0.0)
    parameter = next(encoder.parameters())
    with torch.no_grad():
        parameter.add_(0.1 * torch.randn(parameter.shape))
    result = outcome([4.0] * 5 + [1.0] * 5, before, encoder)
    assert result.change == pytest.approx(float((filters_of(encoder) - before).norm() / before.norm()))
    assert str(result).startswith("loss 4.00 -> 1.00 in 10 steps; filters moved by ")
