"""Segments of sound files: the samples that the whole file has there, and no more of the file than that."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from speechconv.audio.error import AudioError
from speechconv.audio.files import AudioFile
from speechconv.audio.segment import Segment, part
from tests.sounds import chunk, noise, s16, wav_bytes

RATE = 16000
SEGMENTS = [
    (0.0, 0.25),
    (0.5, 0.25),
    (1.0, None),
    (4.0, 2.7),
    (6.2, 0.049),
    (6.0, None),
    (0.00003, 6.0),
    (0.00004, 1.0),
]


def read(path: Path, start: float = 0.0, duration: float | None = None) -> NDArray[np.float32]:
    with AudioFile(path, start, duration) as sound:
        samples = np.concatenate(list(sound.blocks()))
        assert sound.num_samples in (len(samples), None)
        return samples


def sample(seconds: float) -> int:
    """The nearest, halves upwards, in exact numbers."""
    return int(Fraction(seconds) * RATE + Fraction(1, 2))


@pytest.mark.parametrize(("start", "duration"), SEGMENTS)
@pytest.mark.parametrize("kind", ["wav", "ulaw", "flac", "ogg", "mp3"])
def test_a_segment_has_the_samples_of_the_whole_file(
    tmp_path: Path, kind: str, start: float, duration: float | None
) -> None:
    path = tmp_path / f"x.{'wav' if kind == 'ulaw' else kind}"
    soundfile.write(path, noise(100_000, 2), RATE, subtype="ULAW" if kind == "ulaw" else None)
    end = None if duration is None else sample(start + duration)
    whole = read(path)[sample(start) : end]
    np.testing.assert_array_equal(read(path, start, duration), whole)


@pytest.mark.parametrize("placeholder", [0, 0xFFFFFFFF])
def test_a_wav_of_unknown_length_has_segments_too(tmp_path: Path, placeholder: int) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(wav_bytes(s16(noise(32_000)), data_size=placeholder, riff_size=placeholder))
    np.testing.assert_array_equal(read(path, 0.5, 1.25), read(path)[8000:28_000])
    with pytest.raises(AudioError, match=r"begins behind the end of the sound at 2.000 s"):
        read(path, 2.0)


def test_a_flac_of_unknown_length_is_read_up_to_the_segment(tmp_path: Path) -> None:
    path = tmp_path / "x.flac"
    soundfile.write(path, noise(200_000), RATE)
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0  # STREAMINFO: 36 bits of total samples, 0 where the writer did not know
    data[22:26] = bytes(4)
    path.write_bytes(data)
    with AudioFile(path, 1.0, 9.0) as sound:
        assert sound.num_samples is None
        blocks = list(sound.blocks())
    assert [len(block) for block in blocks] == [65_536, 65_536, 12_928]
    np.testing.assert_array_equal(np.concatenate(blocks), read(path)[16_000:160_000])
    assert len(read(path, 12.0, 1.0)) == 8000
    with pytest.raises(AudioError, match=r"from 13.000 s to the end begins behind the end"):
        read(path, 13.0)
    with pytest.raises(AudioError, match=r"ends more than 0.5 s behind the end of the sound at 12.500 s"):
        read(path, 12.0, 1.25)


def test_only_the_segment_of_a_wav_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, np.zeros(3_000_000), RATE)
    with AudioFile(path, 100.0, 1.0) as sound:
        list(sound.blocks())
        position = os.lseek(sound._descriptor, 0, os.SEEK_CUR)
    assert position == 44 + 2 * 101 * RATE


def test_an_end_half_a_second_behind_the_file_is_cut_and_one_further_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, noise(RATE), RATE)
    assert len(read(path, 0.25, 1.25)) == 12_000
    words = r"the segment from 0.250 s to 1.501 s ends more than 0.5 s behind the end of the sound at 1.000 s"
    with pytest.raises(AudioError, match=words) as raised:
        AudioFile(path, 0.25, 1.251)
    assert raised.value.stage == "input"
    with pytest.raises(AudioError, match=r"the segment from 1.000 s to the end begins behind the end"):
        AudioFile(path, 1.0)


def test_a_segment_without_a_sample_is_an_error(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", noise(RATE), RATE)
    with pytest.raises(AudioError, match="is shorter than one sample at 16000 Hz"):
        AudioFile(tmp_path / "x.wav", 0.5, 1e-6)


def test_what_is_there_of_a_truncated_wav_may_be_read_as_a_segment(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(wav_bytes(s16(noise(RATE)))[: 44 + RATE])
    assert len(read(path, 0.25, 0.25)) == 4000
    for start, duration in [(0.25, 0.26), (0.25, None), (0.0, None), (0.75, 0.1)]:
        with pytest.raises(AudioError, match=r"declares 16000 samples .*, of which 8000 \(0.500 s\)"):
            AudioFile(path, start, duration)


def test_what_lies_behind_the_samples_is_in_no_segment(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(wav_bytes(s16(noise(RATE)), behind=chunk(b"LIST", bytes(40_000))))
    assert len(read(path, 0.5, 1.0)) == 8000


@pytest.mark.parametrize(
    "bad",
    [(-1.0, None), (float("nan"), None), (0.0, 0.0), (0.0, -1.0), (0.0, float("inf")), (1e306, None), (0.0, 1e306)],
)
def test_a_segment_outside_its_range_is_refused(tmp_path: Path, bad: tuple[float, float | None]) -> None:
    with pytest.raises(ValueError, match=r"the segment's (start|duration) \(=.* s\) must be a number"):
        AudioFile(tmp_path / "x.wav", *bad)


@given(
    cuts=st.lists(st.integers(1, 40), max_size=20),
    start=st.integers(0, 100),
    length=st.none() | st.integers(1, 100),
)
def test_a_part_does_not_depend_on_how_the_blocks_are_cut(cuts: list[int], start: int, length: int | None) -> None:
    samples = np.arange(sum(cuts), dtype=np.float32)[:, None].repeat(2048, axis=1)  # 32 samples a block
    blocks = np.split(samples, np.cumsum(cuts)[:-1]) if cuts else []
    segment = Segment(float(start), None if length is None else float(length))
    expected = samples[start : None if length is None else start + length]
    if start and not len(expected):
        with pytest.raises(AudioError, match="begins behind the end"):
            list(part(blocks, segment, 1, 2048))
    elif length is not None and len(expected) < length:
        with pytest.raises(AudioError, match="ends more than"):
            list(part(blocks, segment, 1, 2048))
    else:
        found = list(part(blocks, segment, 1, 2048))
        assert {len(block) for block in found[:-1]} <= {32}
        np.testing.assert_array_equal(np.concatenate([samples[:0], *found]), expected)
