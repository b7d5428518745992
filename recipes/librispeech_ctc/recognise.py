"""A trained recogniser at work on whole utterances; attention looks at all of one, so it does not stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn.utils.rnn import pad_sequence

import speechconv as sc
from recipes.ctc.decoding import decode
from recipes.ctc.recogniser import Recogniser
from recipes.ctc.run_folder import RunFolder
from recipes.ctc.vocabulary import Vocabulary
from recipes.librispeech_ctc.acoustic import Acoustic
from recipes.librispeech_ctc.config import RECIPE, new_recogniser
from recipes.librispeech_ctc.corpus import Utterance, read
from recipes.librispeech_ctc.units import text_of

BATCH = 16


@dataclass(frozen=True)
class Trained:
    """A recogniser out of a run.

    Args:
        model: in eval mode.
        vocabulary: that it tells texts in.
        step: after which it was taken.
    """

    model: Recogniser
    vocabulary: Vocabulary
    step: int

    @torch.inference_mode()
    def transcribe(self, utterances: Sequence[Utterance]) -> list[str]:
        """The text of each utterance; those of about one length are heard together."""
        device = self.model.head.weight.device
        order = sorted(range(len(utterances)), key=lambda number: utterances[number].samples)
        texts = [""] * len(utterances)
        for start in range(0, len(order), BATCH):
            numbers = order[start : start + BATCH]
            sounds = [torch.from_numpy(read(utterances[number])) for number in numbers]
            lengths = torch.tensor([len(sound) for sound in sounds])
            scores, counts = self.model(pad_sequence(sounds, batch_first=True).to(device), lengths.to(device))
            for number, row, count in zip(numbers, scores.cpu(), counts.tolist(), strict=True):
                texts[number] = text_of(self.vocabulary.decode(decode(row[:count])))
        return texts


def load_trained(run: RunFolder, device: torch.device) -> Trained:
    """The recogniser of a run's last checkpoint.

    Raises:
        FileNotFoundError: no run, or one without a checkpoint yet.
        ValueError: a run of another recipe.
    """
    config = run.config()
    if config.get("recipe") != RECIPE:
        raise ValueError(f"{run.path} is a run of another recipe; expected one that {RECIPE}/train.py made.")
    saved = run.checkpoint()
    front, vocabulary = sc.Pipeline.from_toml(config["front"]), Vocabulary(tuple(config["tokens"]))
    model = new_recogniser(front, Acoustic(**config["acoustic"]), vocabulary)
    model.load_state_dict(saved["model"])
    return Trained(model.eval().to(device), vocabulary, saved["step"])
