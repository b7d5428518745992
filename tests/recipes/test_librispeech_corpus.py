"""LibriSpeech's recipe: recordings and transcripts are found and read, and what is wrong with them is told."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from recipes.librispeech_ctc.corpus import SAMPLE_RATE, find_utterances, read


@pytest.fixture
def chapter(corpus: Path, tmp_path: Path) -> Path:
    """A copy of one chapter, to be damaged; the corpus is its grandparent's parent."""
    return Path(shutil.copytree(corpus / "test", tmp_path / "test") / "20" / "200")


def test_a_corpus_is_read_as_soundfile_reads_it(corpus: Path) -> None:
    utterances = find_utterances(corpus / "train", corpus / "test")
    assert len(utterances) == 4 * 3 * 8 + 8
    for one in utterances[::7]:
        wav, rate = soundfile.read(one.path, dtype="float32")
        assert (rate, len(wav)) == (SAMPLE_RATE, one.samples)
        assert np.array_equal(read(one), wav)
        assert f"{one.name} {one.text}" in next(one.path.parent.glob("*.trans.txt")).read_text().splitlines()


def _empty(chapter: Path) -> None:
    shutil.rmtree(chapter.parent)


def _without_transcripts(chapter: Path) -> None:
    (chapter / "20-200.trans.txt").unlink()


def _without_recording(chapter: Path) -> None:
    (chapter / "20-200-0003.flac").unlink()


def _one_more_recording(chapter: Path) -> None:
    for name in ("20-200-0100", "20-200-0101"):
        shutil.copy(chapter / "20-200-0000.flac", chapter / f"{name}.flac")


def _line_without_text(chapter: Path) -> None:
    with open(chapter / "20-200.trans.txt", "a") as file:
        file.write("20-200-0008\n")


def _line_twice(chapter: Path) -> None:
    with open(chapter / "20-200.trans.txt", "a") as file:
        file.write("20-200-0003 ACE\n")


def _no_lines(chapter: Path) -> None:
    (chapter / "20-200.trans.txt").write_text("")


def _other_rate(chapter: Path) -> None:
    soundfile.write(chapter / "20-200-0002.flac", np.zeros(8000), 8000)


def _two_channels(chapter: Path) -> None:
    soundfile.write(chapter / "20-200-0002.flac", np.zeros((8000, 2)), SAMPLE_RATE)


def _no_sound(chapter: Path) -> None:
    (chapter / "20-200-0002.flac").write_bytes(b"fLaC and then nothing of the kind")


FAULTS: dict[Callable[[Path], None], str] = {
    _empty: "test holds no SPEAKER/CHAPTER/",
    _without_transcripts: r"200 holds no 20-200.trans.txt; expected the transcripts",
    _without_recording: r"transcripts without a recording: 20-200-0003; complete",
    _one_more_recording: r"recordings without a transcript: 20-200-0100 and 1 more; complete",
    _line_without_text: r"trans.txt, line 9 \('20-200-0008'\): no transcript behind the name",
    _line_twice: r"trans.txt, line 9 \('20-200-0003'\): a second transcript of it",
    _no_lines: r"20-200.trans.txt is empty",
    _other_rate: r"0002.flac has 8000 Hz and 1 channel\(s\); this recipe takes 16000 Hz and one",
    _two_channels: r"0002.flac has 16000 Hz and 2 channel\(s\)",
    _no_sound: r"0002.flac: is not a sound file that can be read",
}


@pytest.mark.parametrize("damage", FAULTS)
def test_a_corpus_at_fault_is_told_in_one_line(chapter: Path, damage: Callable[[Path], None]) -> None:
    data = chapter.parent.parent
    damage(chapter)
    with pytest.raises((ValueError, FileNotFoundError), match=FAULTS[damage]) as caught:
        find_utterances(data)
    assert "\n" not in str(caught.value)


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere; expected one with SPEAKER/CHAPTER"):
        find_utterances(tmp_path / "nowhere")


def test_a_recording_that_was_cut_short_is_told_when_it_is_read(chapter: Path) -> None:
    path = chapter / "20-200-0002.flac"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    one = next(one for one in find_utterances(chapter.parent.parent) if one.path == path)
    with pytest.raises(ValueError, match=r"0002.flac: is truncated or damaged"):
        read(one)
