"""Recordings of single digits, and how speakers and takes are split into training and test.

recordings/{digit}_{speaker}_{take}.wav        as the Free Spoken Digit Dataset has it; .flac too
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recipes.ctc.recordings import Samples, read_recording
from recipes.ctc.vocabulary import Vocabulary

SAMPLE_RATE = 8000
DIGITS = Vocabulary(("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"))
DATA_HELP = "folders with recordings/{digit}_{speaker}_{take}.wav, or with clips.json"
OFFICIAL_TAKES = 5
"""The first takes of each digit and speaker are the official test set."""
NAME = re.compile(r"(\d)_(.+)_(\d+)\.(wav|flac)")


@dataclass(frozen=True)
class Clip:
    """A recording of one digit.

    Args:
        path: of its file.
        digit, speaker, take: what, by whom, which time.
        start, samples: of the digit in the file; None: all that follows.
    """

    path: Path
    digit: int
    speaker: str
    take: int
    start: int = 0
    samples: int | None = None

    @property
    def word(self) -> str:
        return DIGITS.tokens[self.digit]


@dataclass(frozen=True)
class Fold:
    """What to train on, and what to test on.

    Args:
        name: "official", or "without-" and the speakers that are left for the test.
        training, test: clips.

    Raises:
        ValueError: nothing to train on, or nothing to test on.
    """

    name: str
    training: tuple[Clip, ...]
    test: tuple[Clip, ...]

    def __post_init__(self) -> None:
        for part, clips in (("train", self.training), ("test", self.test)):
            if not clips:
                raise ValueError(
                    f"fold {self.name!r} is empty: no recording is left to {part} on; take more speakers or takes, or "
                    "another fold."
                )


def find_clips(*data: Path) -> list[Clip]:
    """All recordings of some folders, in the order of their names.

    Raises:
        FileNotFoundError: no such folder, or none in it.
        ValueError: a clips.json that is none.
    """
    return [clip for folder in data for clip in _in_folder(folder)]


def _in_folder(data: Path) -> list[Clip]:
    folder = data / "recordings" if (data / "recordings").is_dir() else data
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {data}; expected one with recordings/{{digit}}_{{speaker}}_{{take}}.wav.")
    if (folder / "clips.json").is_file():
        return _listed(folder / "clips.json")
    named = [(path, NAME.fullmatch(path.name)) for path in sorted(folder.iterdir())]
    clips = [Clip(path, int(name[1]), name[2], int(name[3])) for path, name in named if name]
    if not clips:
        raise FileNotFoundError(
            f"{folder} holds no {{digit}}_{{speaker}}_{{take}}.wav; expected a clone of the Free Spoken Digit Dataset."
        )
    return clips


def _listed(path: Path) -> list[Clip]:
    try:
        lines = json.loads(path.read_text("utf-8"))
        return [Clip(path.with_name(line.pop("file")), **line) for line in lines]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"{path} is not a list of file, start, samples, digit, speaker and take ({type(error).__name__}: {error})."
        ) from None


def speakers(clips: Sequence[Clip]) -> list[str]:
    return sorted({clip.speaker for clip in clips})


def official(clips: Sequence[Clip]) -> Fold:
    """The data set's own split: all speakers in both parts, the first takes for the test."""
    training = tuple(clip for clip in clips if clip.take >= OFFICIAL_TAKES)
    return Fold("official", training, tuple(clip for clip in clips if clip.take < OFFICIAL_TAKES))


def listed_names(text: str) -> list[str]:
    """Speakers out of a list with commas, each once, in order.

    >>> listed_names("theo, lucas,theo")
    ['lucas', 'theo']
    """
    return sorted({name for name in map(str.strip, text.split(",")) if name})


def of_speakers(clips: Sequence[Clip], names: Sequence[str]) -> tuple[Clip, ...]:
    """All recordings of some speakers.

    Raises:
        ValueError: a speaker that is not there, or none named.
    """
    known = speakers(clips)
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise ValueError(f"no speaker {', '.join(unknown) or 'is named'} in the data; it has {', '.join(known)}.")
    return tuple(clip for clip in clips if clip.speaker in names)


def leave_out(clips: Sequence[Clip], names: Sequence[str]) -> Fold:
    """Train on all speakers but `names`, test on these.

    Raises:
        ValueError: a speaker that is not there, or nobody left.
    """
    training = tuple(clip for clip in clips if clip.speaker not in names)
    return Fold(f"without-{','.join(sorted(names))}", training, of_speakers(clips, names))


def fold_named(clips: Sequence[Clip], name: str) -> Fold:
    """The fold that `Fold.name` names.

    Raises:
        ValueError: no such fold.
    """
    if name == "official":
        return official(clips)
    if name.startswith("without-"):
        return leave_out(clips, listed_names(name.removeprefix("without-")))
    raise ValueError(f"fold (={name!r}) must be official or without-SPEAKER[,SPEAKER ...].")


def folds(clips: Sequence[Clip]) -> list[Fold]:
    """Each speaker left out once, then the official split."""
    return [*(leave_out(clips, [name]) for name in speakers(clips)), official(clips)]


def read(clip: Clip) -> Samples:
    """The samples of a recording.

    Raises:
        ValueError: as `read_recording`; or a file that ends before its list does.
    """
    whole = read_recording(clip.path, SAMPLE_RATE)
    end = len(whole) if clip.samples is None else clip.start + clip.samples
    if not 0 <= clip.start < end <= len(whole):
        raise ValueError(f"{clip.path} has {len(whole)} samples; its list speaks of {clip.start} to {end}.")
    return whole[clip.start : end]
