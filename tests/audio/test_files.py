"""Sound files in blocks: libsndfile's samples, fixed blocks, and an honest answer about length."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from speechconv.audio.error import AudioError
from speechconv.audio.files import AudioFile
from tests.sounds import chunk, noise, s16, wav_bytes


def blocks_of(path: Path) -> list[NDArray[np.float32]]:
    with AudioFile(path) as sound:
        return list(sound.blocks())


@pytest.mark.parametrize("extension", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_file_gives_libsndfiles_samples_in_blocks_of_fixed_size(
    tmp_path: Path, extension: str, channels: int
) -> None:
    path = tmp_path / f"x.{extension}"
    soundfile.write(path, noise(100_000, channels), 44100)
    expected, _ = soundfile.read(path, dtype="float32", always_2d=True)
    blocks = blocks_of(path)
    assert {len(block) for block in blocks[:-1]} == {65536 // channels}
    np.testing.assert_array_equal(np.concatenate(blocks), expected)


def test_every_sample_file_is_read_as_soundfile_reads_it(audio_samples: Path) -> None:
    paths = sorted(path for path in audio_samples.rglob("*") if path.suffix in (".wav", ".flac"))
    assert paths
    for path in paths:
        expected, sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
        with AudioFile(path) as sound:
            assert (sound.sample_rate, sound.channels) == (sample_rate, expected.shape[1])
            np.testing.assert_array_equal(np.concatenate(list(sound.blocks())), expected)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFF000])
def test_a_wav_that_a_pipe_wrote_is_read_to_its_end(tmp_path: Path, size: int) -> None:
    samples = noise(70_000)
    (tmp_path / "x.wav").write_bytes(wav_bytes(s16(samples), data_size=size, riff_size=size))
    found = np.concatenate(blocks_of(tmp_path / "x.wav"))
    np.testing.assert_array_equal(np.round(found * 32768), np.round(samples * 32767))


def test_a_flac_that_a_pipe_wrote_is_read_to_its_end(tmp_path: Path) -> None:
    file = io.BytesIO()
    soundfile.write(file, noise(100_000), 16000, format="FLAC")
    data = bytearray(file.getvalue())
    expected, _ = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    data[21] &= 0xF0  # STREAMINFO: 36 bits of total samples, 0 where the writer did not know
    data[22:26] = bytes(4)
    (tmp_path / "x.flac").write_bytes(data)
    np.testing.assert_array_equal(np.concatenate(blocks_of(tmp_path / "x.flac")), expected)


def test_metadata_behind_the_samples_is_not_taken_for_a_cut_off_file(tmp_path: Path) -> None:
    text = chunk(b"LIST", b"INFO" * 10)
    (tmp_path / "x.wav").write_bytes(wav_bytes(s16(noise(1000)), before=text, behind=text))
    assert sum(map(len, blocks_of(tmp_path / "x.wav"))) == 1000


def test_a_wav_in_another_codec_is_left_to_libsndfile(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", noise(1000), 8000, subtype="ULAW")
    assert sum(map(len, blocks_of(tmp_path / "x.wav"))) == 1000


@pytest.mark.parametrize("codec", ["IMA_ADPCM", "MS_ADPCM", "GSM610"])
def test_a_cut_wav_whose_codec_packs_samples_in_blocks_is_told_in_bytes(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, noise(8000) * 0.1, 8000, subtype=codec)
    data = path.read_bytes()
    start = data.index(b"data") + 8
    size = int.from_bytes(data[start - 4 : start], "little")
    path.write_bytes(data[: start + 1000])
    with pytest.raises(AudioError, match=f"truncated or damaged: it declares {size} bytes of .*, of which 1000 are"):
        AudioFile(path)


def test_a_cut_wav_of_a_byte_a_sample_is_told_in_samples(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", noise(8000), 8000, subtype="ALAW")
    data = (tmp_path / "x.wav").read_bytes()
    (tmp_path / "x.wav").write_bytes(data[: data.index(b"data") + 8 + 4000])
    with pytest.raises(AudioError, match=r"declares 8000 samples \(1.000 s\), of which 4000 \(0.500 s\)"):
        AudioFile(tmp_path / "x.wav")


@pytest.mark.parametrize("extension", ["wav", "flac", "ogg", "mp3"])
def test_a_name_that_is_not_utf8_is_opened(tmp_path: Path, extension: str) -> None:
    soundfile.write(tmp_path / f"x.{extension}", noise(1000), 8000)
    expected = blocks_of(tmp_path / f"x.{extension}")
    strange = tmp_path / os.fsdecode(b"b\xff")
    os.rename(tmp_path / f"x.{extension}", strange)
    np.testing.assert_array_equal(blocks_of(strange), expected)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAW"])
@pytest.mark.parametrize("container", ["WAV", "WAVEX", "RF64"])
def test_every_kind_of_wav_has_libsndfiles_numbers(tmp_path: Path, container: str, subtype: str) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, noise(50_000, 2), 8000, format=container, subtype=subtype)
    expected, _ = soundfile.read(path, dtype="float32", always_2d=True)
    np.testing.assert_array_equal(np.concatenate(blocks_of(path)), expected)


@pytest.mark.parametrize(("bits", "claimed"), [(16, 12), (32, 24), (32, 20), (24, 20)])
def test_samples_that_do_not_fill_their_bytes_are_left_to_libsndfile(tmp_path: Path, bits: int, claimed: int) -> None:
    data = bytearray(wav_bytes(noise(6000).astype("<f4").tobytes(), bits=bits))
    data[34:36] = claimed.to_bytes(2, "little")
    (tmp_path / "x.wav").write_bytes(data)
    expected, _ = soundfile.read(tmp_path / "x.wav", dtype="float32", always_2d=True)
    np.testing.assert_array_equal(np.concatenate(blocks_of(tmp_path / "x.wav")), expected)


HOSTILE = {
    "4 GB in the header": (wav_bytes(s16(noise(100)), data_size=0xF0000000), r"declares 2013265920 samples"),
    "0 Hz": (wav_bytes(s16(noise(100)), sample_rate=0), "declares 1 channels at 0 Hz"),
    "200 channels": (wav_bytes(s16(noise(2000)), channels=200), "declares 200 channels; expected 1 to 128"),
    "no channels": (wav_bytes(s16(noise(100)), channels=0), "declares 0 channels"),
    "a header and half a sample": (wav_bytes(b"\0"), "holds no samples"),
    "half a magic": (b"RI", "is not a sound file that can be read"),
    "a magic": (b"RIFF", "ends inside its header"),
    "a chunk of 4 GB": (wav_bytes(b"")[:12] + b"junk\xf0\xff\xff\xff" + bytes(100), "ends inside its header"),
    "zeros": (bytes(5000), "is not a sound file that can be read"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_are_one_error_in_words(tmp_path: Path, name: str) -> None:
    data, words = HOSTILE[name]
    (tmp_path / "x.wav").write_bytes(data)
    with pytest.raises(AudioError, match=words) as raised:
        blocks_of(tmp_path / "x.wav")
    assert raised.value.stage == "decode"


def test_a_flac_with_a_wav_name_and_the_other_way_round_are_read(tmp_path: Path) -> None:
    for true, claimed in [("flac", "wav"), ("wav", "mp3")]:
        path = tmp_path / f"x.{true}"
        soundfile.write(path, noise(1000), 8000)
        expected = blocks_of(path)
        np.testing.assert_array_equal(blocks_of(path.rename(tmp_path / f"x.{claimed}")), expected)


@pytest.mark.parametrize("name", ["a\0b.wav", "a\ud800.wav", "x" * 5000, "loop.wav", "folder.wav/x.wav"])
def test_a_name_that_no_file_can_have_is_an_error_in_words(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop.wav").symlink_to("loop.wav")
    (tmp_path / "folder.wav").touch()
    with pytest.raises(AudioError, match="cannot be opened: ") as raised:
        AudioFile(os.path.join(tmp_path, name))
    assert raised.value.stage == "open"


def test_a_file_that_gets_shorter_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, noise(200_000), 8000)
    with AudioFile(path) as sound:
        blocks = sound.blocks()
        next(blocks)
        os.truncate(path, 150_000)
        with pytest.raises(AudioError, match=r"declares 200000 samples .*, of which 65536 "):
            next(blocks)


def test_a_file_tells_the_status_of_what_was_opened(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", noise(100), 8000)
    with AudioFile(tmp_path / "x.wav") as sound:
        assert sound.status == os.stat(tmp_path / "x.wav")


def test_a_file_without_permission_is_an_error_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, noise(10), 8000)

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", refuse)  # the superuser may read any file, so a mode would not do
    with pytest.raises(AudioError, match="cannot be opened: Permission denied") as raised:
        AudioFile(path)
    assert raised.value.stage == "open"


def test_a_named_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.wav")
    with pytest.raises(AudioError, match="not a regular file; feed pipes to `speechconv stream`"):
        AudioFile(tmp_path / "x.wav")


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts open descriptors in /proc")
def test_descriptors_are_given_back_also_by_files_that_fail(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "good.wav", noise(100), 8000)
    (tmp_path / "bad.wav").write_bytes(b"no sound at all")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        blocks_of(tmp_path / "good.wav")
        with pytest.raises(AudioError):
            AudioFile(tmp_path / "bad.wav")
    assert len(os.listdir("/proc/self/fd")) == before
