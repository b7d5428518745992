"""LibriSpeech's recipe: the model, whose scores do not depend on the batch, and what the README says of its size."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.flop_counter import FlopCounterMode
from torchaudio import models

import speechconv as sc
from recipes.ctc.recogniser import Recogniser
from recipes.ctc.trainer import Batch, ctc_loss
from recipes.ctc.vocabulary import Vocabulary
from recipes.librispeech_ctc.acoustic import Acoustic
from recipes.librispeech_ctc.config import SETTINGS, load_config, new_recogniser, open_front
from recipes.librispeech_ctc.conformer import Conformer
from recipes.librispeech_ctc.corpus import SAMPLE_RATE
from tests.recipes.librispeech_recipe import ENCODER, README

SMALL = Acoustic(channels=16, layers=2, heads=2, feed_forward=32, kernel_size=5, dropout=0.0)
LETTERS = Vocabulary(tuple("ABCDEFY▁"))


def test_an_utterance_in_a_batch_gets_what_torchaudios_conformer_makes_of_it_alone() -> None:
    own = Conformer(16, heads=2, feed_forward=32, layers=2, kernel_size=5, dropout=0.0).double()
    for parameter in own.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    judge = models.Conformer(16, 2, 32, 2, 5, use_group_norm=True).double()
    judge.load_state_dict(own.state_dict())
    lengths = torch.tensor([40, 17, 1])
    rows = [torch.randn(n, 16, dtype=torch.float64) for n in lengths.tolist()]
    found, _ = own(pad_sequence(rows, batch_first=True, padding_value=torch.nan), lengths)
    for row, alone in enumerate(rows):
        expected, _ = judge(alone[None], lengths[row : row + 1])
        assert (found[row, : len(alone)] - expected[0]).abs().max() <= 1e-12 * expected.abs().max()  # float64
        assert not found[row, len(alone) :].any()


def _recogniser(front: sc.Pipeline) -> Recogniser:
    model = new_recogniser(front, SMALL, LETTERS).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)  # no bias of zero
    return model.eval()


@pytest.mark.parametrize("front", ["logmel", "encoder"])
def test_an_utterance_has_the_same_scores_and_gradients_in_any_batch(front: str) -> None:
    """Padding holds NaN; group norm and convolutions must not see what lies behind an utterance."""
    pipe = sc.Pipeline.from_toml(ENCODER) if front == "encoder" else sc.Pipeline.from_preset("logmel")
    model = _recogniser(pipe)
    sounds = [0.1 * torch.randn(n, dtype=torch.float64) for n in (16000, 9000, 4001, 300)]
    lengths = torch.tensor([len(sound) for sound in sounds])
    tokens = torch.tensor([1, 2, 3])
    wav = pad_sequence(sounds, batch_first=True, padding_value=torch.nan)
    batch = Batch(wav, lengths, tokens, torch.tensor([1, 1, 1, 0]))
    together, counts = model(wav, lengths)
    ctc_loss(together, counts, batch).backward()
    gradients = {
        name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None
    }
    model.zero_grad()
    assert counts.tolist() == {"logmel": [26, 15, 7, 1], "encoder": [25, 14, 6, 0]}[front]
    for row, sound in enumerate(sounds[: 4 if front == "logmel" else 3]):  # of no frames there is no loss
        alone, count = model(sound[None], lengths[row : row + 1])
        assert (together[row, : counts[row]] - alone[0]).abs().max() <= 1e-12 * alone.abs().max()  # float64
        ctc_loss(
            alone, count, replace(batch, tokens=tokens[row : row + 1], counts=batch.counts[row : row + 1])
        ).backward()
    largest = max(gradient.abs().max() for gradient in gradients.values())
    for name, parameter in model.named_parameters():
        if name in gradients:
            assert parameter.grad is not None, name
            assert (gradients[name] - parameter.grad).abs().max() <= 1e-11 * largest, name  # sums in another order


@pytest.mark.parametrize(
    ("preset", "frame_rate", "factor"), [("logmel", 25, 4), ("logmel", 100, 1), ("wav2vec2-base", 25, 2)]
)
def test_the_front_ends_frames_are_halved_down_to_the_frame_rate(preset: str, frame_rate: float, factor: int) -> None:
    front = sc.Pipeline.from_preset(preset)
    acoustic = replace(SMALL, frame_rate=frame_rate)
    encoder = acoustic.build(front)
    assert acoustic.factor(front) == factor
    for samples in (0, 399, 400, 16000, 16321, 17777):
        frames = torch.zeros(1, front.output_lengths(samples), front.output_dim)
        assert encoder.before(frames).shape[1] == acoustic.num_frames(front, samples)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"heads": 3}, r"channels \(=16\) must be a multiple of heads \(=3\)"),
        ({"kernel_size": 4}, r"kernel_size \(=4\) must be odd"),
        ({"frame_rate": 0}, r"frame_rate \(=0\) must be > 0"),
    ],
)
def test_sizes_that_do_not_fit_are_told(change: dict[str, int], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        replace(SMALL, **change).build(sc.Pipeline.from_preset("logmel"))


def test_bfloat16_stays_near_float32_and_leaves_front_end_and_logarithms_alone() -> None:
    model = _recogniser(sc.Pipeline.from_preset("logmel")).float()
    seen: list[torch.dtype] = []
    for part in (model.front, model.acoustic, model.head):
        part.register_forward_hook(lambda _, __, y: seen.append((y[0] if isinstance(y, tuple) else y).dtype))
    wav, lengths = 0.1 * torch.randn(2, 16000), torch.tensor([16000, 12000])
    exact, _ = model(wav, lengths)
    seen.clear()
    with torch.autocast("cpu", torch.bfloat16):
        near, _ = model(wav, lengths)
    assert seen == [torch.float32, torch.float32, torch.bfloat16]
    assert near.dtype == torch.float32
    assert 0 < (near - exact).norm() <= 0.02 * exact.norm()


def test_the_readmes_arithmetic_is_that_of_the_default_model() -> None:
    front = open_front("logmel")
    letters = Vocabulary(tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ'▁"))
    acoustic = load_config(SETTINGS).acoustic
    model = new_recogniser(front, acoustic, letters)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    frames = acoustic.num_frames(front, round(12.3 * SAMPLE_RATE))
    features = torch.zeros(1, front.output_lengths(round(12.3 * SAMPLE_RATE)), 80)
    # in training mode: what attention takes without dropout, this counter does not know
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.head(model.acoustic(features, torch.tensor([features.shape[1]]))[0])
    counted = counter.get_total_flops() / frames
    text = README.read_text()
    assert f"| {parameters / 1e6:.1f} M |" in text
    assert f"T = {frames} " in text
    assert f"| {counted / 1e6:.0f} MFLOP |" in text
    assert counted == pytest.approx(2 * parameters + 4 * frames * acoustic.channels * acoustic.layers, rel=0.01)
