"""What a run follows from: a front-end (a pipeline's TOML), the settings that all front-ends share, data and fold.

configs/logmel.toml ...    front-ends: `speechconv describe recipes/digits_ctc/configs/logmel.toml`
separable-10 ...           speechconv's presets of encoders, their STFTs made for 8 kHz
settings.toml              [acoustic], [training], [augmentation]
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

import speechconv as sc
from recipes.ctc.recogniser import Recogniser
from recipes.ctc.settings import part, read_tables
from recipes.ctc.trainer import Training
from recipes.digits_ctc.acoustic import Acoustic
from recipes.digits_ctc.augment import Augmentation
from recipes.digits_ctc.corpus import DIGITS, SAMPLE_RATE, Fold

FOLDER = Path(__file__).parent
CONFIGS = FOLDER / "configs"
SETTINGS = FOLDER / "settings.toml"
TABLES = ("acoustic", "training", "augmentation")

ENCODERS = tuple(
    f"{family}-{share}" for family in ("separable", "shuffle", "inverted-residual") for share in (10, 5, 1)
)
"""Presets of encoders, by the share of the wav2vec 2.0 encoder's cost in per cent."""
ENCODER_RATE = 0.1
"""Of an encoder's own weights, times the learning rate: with the whole rate they take much longer to begin to learn."""
FRAME_RATE = 50
"""Of the acoustic model, Hz."""


@dataclass(frozen=True)
class Config:
    """Of one run.

    Args:
        name: of the front-end's file or preset.
        front: its TOML.
        acoustic, training, augmentation: the settings.
    """

    name: str
    front: str
    acoustic: Acoustic
    training: Training
    augmentation: Augmentation

    def build(self) -> Recogniser:
        """The recogniser as it begins, by the seed."""
        torch.manual_seed(self.training.seed)
        front = sc.Pipeline.from_toml(self.front)
        if front.sample_rate != SAMPLE_RATE:
            raise ValueError(f"{self.name} is for {front.sample_rate} Hz, the recordings have {SAMPLE_RATE} Hz.")
        stride, rest = divmod(SAMPLE_RATE, FRAME_RATE * front.hop_length)
        if stride < 1 or rest:
            raise ValueError(
                f"{self.name} gives a frame every {front.hop_length} samples; {SAMPLE_RATE // FRAME_RATE}, which "
                "the acoustic model's frames are apart, must be that or a multiple."
            )
        acoustic = self.acoustic.build(front.output_dim, stride)
        return Recogniser(front, acoustic, self.acoustic.channels, len(DIGITS))

    def record(self, fold: Fold) -> dict[str, Any]:
        """Everything that the trained weights follow from, for the run's folder."""
        names = sorted(f"{clip.path.name}:{clip.path.stat().st_size}" for clip in fold.training)
        data = {"fold": fold.name, "files": len(names), "sha256": hashlib.sha256("\n".join(names).encode()).hexdigest()}
        return {"name": self.name, "tokens": list(DIGITS.tokens), "data": data, "front": self.front} | {
            part: _plain(asdict(getattr(self, part))) for part in ("acoustic", "training", "augmentation")
        }


def load_config(name: str, *, settings: Path = SETTINGS, live: bool = False, **training: Any) -> Config:
    """A config by the front-end's name ("logmel", "logmel.toml", "separable-10") or path.

    Args:
        name: of a file in configs/, of one of `ENCODERS`, or a path.
        settings: TOML of what all front-ends share.
        live: an acoustic model that does not look ahead; an encoder that does not either.
        training: values of `Training` that hold instead, where they are not None.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no TOML; an unknown table, key or stage.
    """
    stem, front = _front_end(name, live=live)
    tables = read_tables(settings, TABLES)
    acoustic = part(Acoustic, tables.get("acoustic", {}), settings)
    given = {key: value for key, value in training.items() if value is not None}
    rate = {"front_rate": ENCODER_RATE} if stem in ENCODERS else {}
    return Config(
        name=stem + ("-live" if live else ""),
        front=front,
        acoustic=replace(acoustic, padding="causal") if live else acoustic,
        training=part(Training, rate | tables.get("training", {}) | given, settings),
        augmentation=part(Augmentation, tables.get("augmentation", {}), settings),
    )


def front_ends() -> list[str]:
    """Names of the front-ends in configs/."""
    return sorted(path.stem for path in CONFIGS.glob("*.toml"))


def _front_end(name: str, *, live: bool) -> tuple[str, str]:
    """Its name, and its TOML."""
    for path in (Path(name), CONFIGS / name, CONFIGS / f"{name}.toml"):
        if path.is_file():
            return path.stem, path.read_text("utf-8")
    if name in ENCODERS:
        return name, at_8_khz(name + ("-causal" if live else "")).to_toml()
    known = ", ".join((*front_ends(), *ENCODERS))
    raise FileNotFoundError(f"no config {name}; expected a file of your own, or one of {known}.")


def at_8_khz(encoder: str) -> sc.Pipeline:
    """A preset that hears as configs/stft-window.toml does: 40 bands, 32 ms for each frame."""
    stft = sc.Pipeline.from_preset(encoder).get_submodule("stft")
    assert isinstance(stft, sc.ConvSTFT)
    return sc.Pipeline.from_preset(
        encoder,
        sample_rate=SAMPLE_RATE,
        stft={"n_fft": 256, "hop_length": stft.hop_length // 2},
        mel={"n_mels": 40, "f_min": 60.0},
        batch_norm={"channels": 40},
        stem={"in_channels": 40},
    )


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """As JSON gives it back."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}
