"""LibriSpeech's layout: what was said in each chapter is one text file beside its recordings.

SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt           lines of ID TRANSCRIPT
SPEAKER/CHAPTER/ID.flac                             16 kHz, one channel
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from recipes.ctc.recordings import Samples, num_samples, read_recording

SAMPLE_RATE = 16000
DATA_HELP = "folders with SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt and *.flac, such as LibriSpeech/train-clean-100"


@dataclass(frozen=True)
class Utterance:
    """A recording and what is said in it.

    Args:
        path: of its file.
        text: its transcript.
        samples: its length.
    """

    path: Path
    text: str
    samples: int

    @property
    def name(self) -> str:
        return self.path.stem


def find_utterances(*data: Path) -> list[Utterance]:
    """All utterances of some folders, in the order of their names.

    Raises:
        FileNotFoundError: no such folder, or no chapter in it.
        ValueError: a chapter in which recordings and transcripts are not the same, or are not as the layout wants them;
            a recording that cannot be read or has another sample rate.
    """
    return [utterance for folder in data for utterance in _in_folder(folder)]


def _in_folder(data: Path) -> Iterator[Utterance]:
    if not data.is_dir():
        raise FileNotFoundError(f"no folder {data}; expected one with SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt.")
    chapters = sorted(path for path in data.glob("*/*") if path.is_dir())
    if not chapters:
        raise FileNotFoundError(
            f"{data} holds no SPEAKER/CHAPTER/; expected a part of LibriSpeech, as train-clean-100."
        )
    for chapter in chapters:
        yield from _in_chapter(chapter)


def _in_chapter(chapter: Path) -> Iterator[Utterance]:
    listed = chapter / f"{chapter.parent.name}-{chapter.name}.trans.txt"
    if not listed.is_file():
        raise FileNotFoundError(f"{chapter} holds no {listed.name}; expected the transcripts of its recordings in it.")
    texts = transcripts(listed)
    recordings = {path.stem: path for path in sorted(chapter.glob("*.flac"))}
    _check_same(listed, "transcripts without a recording", [name for name in texts if name not in recordings])
    _check_same(listed, "recordings without a transcript", [name for name in recordings if name not in texts])
    for name, path in recordings.items():
        yield Utterance(path, texts[name], num_samples(path, SAMPLE_RATE))


def transcripts(listed: Path) -> dict[str, str]:
    """What a chapter's text file says of each utterance, by its name.

    Raises:
        ValueError: a line that is no transcript, or no line.
    """
    texts: dict[str, str] = {}
    for number, line in enumerate(listed.read_text("utf-8").splitlines(), 1):
        name, _, text = line.partition(" ")
        text = " ".join(text.split())
        if not text or name in texts:
            fault = "a second transcript of it" if name in texts else "no transcript behind the name"
            raise ValueError(f"{listed}, line {number} ({name!r}): {fault}; expected ID TRANSCRIPT, each ID once.")
        texts[name] = text
    if not texts:
        raise ValueError(f"{listed} is empty; expected lines of ID TRANSCRIPT.")
    return texts


def _check_same(listed: Path, fault: str, names: Sequence[str]) -> None:
    if names:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        raise ValueError(f"{listed.parent}: {fault}: {names[0]}{more}; complete the chapter, or leave them out.")


def read(utterance: Utterance) -> Samples:
    """The samples of a recording.

    Raises:
        ValueError: a file that cannot be read any more, or is damaged.
    """
    return read_recording(utterance.path, SAMPLE_RATE)
