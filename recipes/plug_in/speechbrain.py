"""SpeechBrain: a pipeline of ours as compute_features of a recipe in hyperpyyaml, trained by Brain.fit with CTC.

python -m recipes.plug_in.speechbrain
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from hyperpyyaml import load_hyperpyyaml
from speechbrain import Brain, Stage
from speechbrain.nnet.losses import ctc_loss
from torch import Tensor
from torch.utils.data import DataLoader

from recipes.plug_in.melodies import Melodies, batches
from recipes.plug_in.outcome import Outcome, filters_of, outcome

STEPS = 40


class Recogniser(Brain):
    """Frames, their relative lengths, tokens."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.losses: list[float] = []

    def compute_forward(self, batch: Melodies, stage: Stage) -> tuple[Tensor, Tensor]:
        modules: Any = self.modules
        samples = batch.wav.shape[1]
        wav_lens = batch.lengths / samples
        frames = modules.compute_features(batch.wav, wav_lens)
        frame_lens = modules.compute_features.relative_lengths(wav_lens, samples)
        return modules.encoder(frames, frame_lens).log_softmax(-1), frame_lens

    def compute_objectives(self, predictions: tuple[Tensor, Tensor], batch: Melodies, stage: Stage) -> Tensor:
        log_probs, frame_lens = predictions
        token_lens = batch.counts / batch.tokens.shape[1]
        loss = ctc_loss(log_probs, batch.tokens, frame_lens, token_lens, blank_index=0)
        self.losses.append(loss.item())
        return loss


def main() -> Outcome:
    torch.manual_seed(0)
    with open(Path(__file__).with_suffix(".yaml"), encoding="utf-8") as file:
        hparams = load_hyperpyyaml(file)
    brain = Recogniser(hparams["modules"], hparams["optimiser"], hparams, run_opts={"device": "cpu"})
    encoder = hparams["compute_features"].encoder
    before = filters_of(encoder)
    brain.fit(range(1), DataLoader(list(batches(STEPS)), batch_size=None), progressbar=False)  # pyright: ignore[reportArgumentType] - a list is a dataset
    result = outcome(brain.losses, before, encoder)
    print(f"SpeechBrain: {result}")
    return result


if __name__ == "__main__":
    main()
