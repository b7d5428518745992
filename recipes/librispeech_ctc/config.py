"""What a run follows from: a front-end, the settings, the vocabulary and the data.

settings.toml      [acoustic], [training], [batches], [spec_augment]: for LibriSpeech's 960 hours
tiny.toml          the same for the tests' generated corpus
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

import speechconv as sc
from recipes.ctc.recogniser import Recogniser
from recipes.ctc.settings import part, read_tables
from recipes.ctc.spec_augment import Holes
from recipes.ctc.trainer import Precision, Training
from recipes.ctc.vocabulary import Vocabulary
from recipes.librispeech_ctc.acoustic import Acoustic
from recipes.librispeech_ctc.batches import Batching
from recipes.librispeech_ctc.corpus import SAMPLE_RATE
from recipes.librispeech_ctc.examples import Examples
from speechconv.pipeline import open_pipeline

SETTINGS = Path(__file__).parent / "settings.toml"
RECIPE = "librispeech_ctc"
TABLES = ("acoustic", "training", "batches", "spec_augment")


@dataclass(frozen=True)
class Config:
    """Settings of one run.

    Args:
        acoustic, training, batches: the settings.
        holes: SpecAugment's; None: none.
        precision: of the acoustic model's products.
    """

    acoustic: Acoustic
    training: Training
    batches: Batching
    holes: Holes | None
    precision: Precision = "float32"

    def record(self, front: sc.Pipeline, vocabulary: Vocabulary, examples: Examples) -> dict[str, Any]:
        """Everything that the trained weights follow from, for the run's folder."""
        return {
            "recipe": RECIPE,
            "tokens": list(vocabulary.tokens),
            "data": examples.record(),
            "front": front.to_toml(),
            "front_weights": _weights(front),
            "acoustic": asdict(self.acoustic),
            "training": asdict(self.training),
            "batches": asdict(self.batches),
            "spec_augment": self.holes and asdict(self.holes),
            "precision": self.precision,
        }


def load_config(settings: Path = SETTINGS, *, precision: Precision = "float32", **training: Any) -> Config:
    """The config of a TOML file.

    Args:
        settings: the file.
        precision: of the acoustic model's products.
        training: values of `Training` that hold instead, where they are not None.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no TOML, an unknown table or key, or a value outside its range.
    """
    tables = read_tables(settings, TABLES)
    given = {key: value for key, value in training.items() if value is not None}
    holes = tables.get("spec_augment")
    return Config(
        acoustic=part(Acoustic, tables.get("acoustic", {}), settings),
        training=part(Training, tables.get("training", {}) | given, settings),
        batches=part(Batching, tables.get("batches", {}), settings),
        holes=None if holes is None else part(Holes, holes, settings),
        precision=precision,
    )


def open_front(source: str) -> sc.Pipeline:
    """A front-end by preset name, TOML file, saved pipeline or folder of a run.

    Raises:
        ValueError: none of these, or one for another sample rate.
        FileNotFoundError: no such file.
    """
    front = open_pipeline(source)
    if front.sample_rate != SAMPLE_RATE:
        raise ValueError(f"{source} is for {front.sample_rate} Hz, the recordings have {SAMPLE_RATE} Hz.")
    return front


def new_recogniser(front: sc.Pipeline, acoustic: Acoustic, vocabulary: Vocabulary) -> Recogniser:
    """Front-end, acoustic model and head; what is fresh is drawn from torch's generator."""
    return Recogniser(front, acoustic.build(front), acoustic.channels, len(vocabulary))


def check_shareable(front: nn.Module) -> None:
    """ValueError for a front-end that several processes cannot train as one does."""
    if any(isinstance(part, sc.BatchNorm) for part in front.modules()):
        raise ValueError(
            "the front-end holds BatchNorm, which each process would compute over its own share of a batch; "
            "train it in one process, or take another norm."
        )


def _weights(front: nn.Module) -> str:
    """A hash of a front-end's numbers."""
    digest = hashlib.sha256()
    for name, tensor in front.state_dict().items():
        digest.update(name.encode() + tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
