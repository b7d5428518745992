"""Samples out of pipes: every encoding, as soon as they are there, and never past the end of the data."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import threading
import wave
from collections.abc import Iterator

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from speechconv.audio.error import AudioError
from speechconv.audio.pcm import RAW_FORMATS
from speechconv.audio.pipe import PcmReader, open_raw, open_wav
from tests.sounds import chunk, noise, s16, wav_bytes

ENCODINGS = [
    ("PCM_U8", "u8"),
    ("PCM_16", "s16le"),
    ("PCM_24", "s24le"),
    ("PCM_32", "s32le"),
    ("FLOAT", "f32le"),
    ("DOUBLE", "f64le"),
]


@contextlib.contextmanager
def pipe_with(data: bytes) -> Iterator[int]:
    """The reading end of a pipe into which a thread writes `data`, then hangs up."""
    out, into = os.pipe()

    def write() -> None:
        with contextlib.suppress(BrokenPipeError), open(into, "wb") as file:
            file.write(data)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield out
    finally:
        os.close(out)
        writer.join()


def impatient_pipe() -> tuple[int, int]:
    """A pipe whose reading end gives an error to whoever asks for more than has arrived."""
    out, into = os.pipe()
    os.set_blocking(out, False)
    return out, into


def read_wav(data: bytes) -> tuple[NDArray[np.float32], PcmReader]:
    with pipe_with(data) as pipe:
        reader = open_wav(pipe)
        return np.concatenate(list(reader.blocks())), reader


def as_file(samples: NDArray, subtype: str, container: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, 16000, subtype=subtype, format=container)
    return file.getvalue()


@pytest.mark.parametrize("container", ["WAV", "WAVEX"])
@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize(("subtype", "_"), ENCODINGS)
def test_a_wav_stream_gives_the_samples_that_libsndfile_reads(
    subtype: str, _: str, channels: int, container: str
) -> None:
    data = as_file(noise(30000, channels), subtype, container)
    expected = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)[0]
    found, reader = read_wav(data)
    assert (reader.sample_rate, reader.channels) == (16000, channels)
    np.testing.assert_array_equal(found, expected)


def test_a_wav_stream_of_the_wave_module_gives_its_samples() -> None:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((2, 3, 8000, 0, "NONE", ""))
        writer.writeframes(bytes(range(60)))
    found, reader = read_wav(file.getvalue())
    first = int.from_bytes(bytes([0, 1, 2]), "little", signed=True) / 2**23
    assert (found.shape, found[0, 0], reader.sample_rate) == ((10, 2), np.float32(first), 8000)


@pytest.mark.parametrize(("subtype", "name"), ENCODINGS)
def test_raw_samples_are_those_of_the_wav_they_were_cut_from(subtype: str, name: str) -> None:
    samples = noise(5000, 2)
    raw, _ = read_wav(as_file(samples, subtype, "WAV"))
    with pipe_with(as_file(samples, subtype, "RAW")) as pipe:
        found = np.concatenate(list(open_raw(pipe, name, sample_rate=16000, channels=2).blocks()))
    np.testing.assert_array_equal(found, raw)


def test_big_endian_samples_are_little_endian_ones_turned_round() -> None:
    values = np.array([1, -2, 300, -32768], "<i2")
    np.testing.assert_array_equal(
        RAW_FORMATS["s16be"].decode(values.astype(">i2").tobytes()), RAW_FORMATS["s16le"].decode(values.tobytes())
    )


def test_a_float64_beyond_float32_becomes_infinite_without_a_warning() -> None:
    assert RAW_FORMATS["f64le"].decode(np.array([1e300]).tobytes())[0] == np.inf


def test_samples_come_out_as_soon_as_their_last_byte_has_arrived() -> None:
    out, into = impatient_pipe()
    data = wav_bytes(b"", data_size=0xFFFFFFFF)
    os.write(into, data + b"\x01")
    os.write(into, b"\x00\x02")
    blocks = open_wav(out).blocks()
    assert next(blocks).tolist() == [[1 / 32768]]
    os.write(into, b"\x00")
    assert next(blocks).tolist() == [[2 / 32768]]
    os.write(into, b"\x03\x00\x04\x00\x05")
    assert next(blocks).tolist() == [[3 / 32768], [4 / 32768]]
    os.close(into)
    assert list(blocks) == []
    os.close(out)


def test_a_sample_split_across_reads_is_whole_whatever_the_cuts() -> None:
    data = as_file(noise(50, 3), "PCM_24", "RAW")
    expected = RAW_FORMATS["s24le"].decode(data).reshape(-1, 3)
    for size in (1, 2, 7, 10, 100):
        out, into = impatient_pipe()
        reader = open_raw(out, "s24le", sample_rate=16000, channels=3)
        blocks, found, whole = reader.blocks(), [], 0
        for start in range(0, len(data), size):
            os.write(into, data[start : start + size])
            if (start + size) // 9 > whole:
                found.append(next(blocks))
                whole = min(start + size, len(data)) // 9
        os.close(into)
        found += blocks
        os.close(out)
        np.testing.assert_array_equal(np.concatenate(found), expected)


def test_an_incomplete_last_sample_is_dropped_and_counted() -> None:
    with pipe_with(b"\x01\x00\x02\x00\x03") as pipe:
        reader = open_raw(pipe, "s16le", sample_rate=8000)
        assert np.concatenate(list(reader.blocks())).shape == (2, 1)
        assert reader.leftover == 1


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x80000000, 0x7FFFFFFF, 0x7FFFF000, 0x7FFFFFC4, 0xFFFFFFFF - 36, 0])
def test_a_length_that_pipes_write_means_to_the_end(size: int) -> None:
    samples = noise(40000)
    riff = 36 if size == 0 else min(size + 36, 0xFFFFFFFF)
    found, _ = read_wav(wav_bytes(s16(samples), data_size=size, riff_size=riff))
    assert s16(samples) == np.round(found * 32768).astype("<i2").tobytes()


def test_chunks_before_the_data_are_skipped_and_those_behind_are_no_samples() -> None:
    samples = noise(999)
    text = chunk(b"LIST", b"INFOISFT" + b"x" * 101)
    found, _ = read_wav(wav_bytes(s16(samples)[:-1] + b"", bits=8, before=text, behind=b"\0" + text))
    assert len(found) == 2 * 999 - 1


def test_reading_stops_at_the_declared_end_without_waiting_for_more() -> None:
    out, into = impatient_pipe()
    os.write(into, wav_bytes(s16(noise(100)), behind=b"LIST"))
    assert sum(map(len, open_wav(out).blocks())) == 100
    assert os.read(out, 4) == b"LIST"
    os.close(into)
    os.close(out)


def test_a_long_stream_tells_its_size_in_a_chunk_of_its_own() -> None:
    samples = noise(1000)
    riff = wav_bytes(s16(samples), data_size=0xFFFFFFFF, riff_size=0xFFFFFFFF, behind=chunk(b"LIST", b"abcd"))
    ds64 = chunk(b"ds64", struct.pack("<QQQI", len(riff) + 28, 2000, 1000, 0))
    found, _ = read_wav(b"RF64" + riff[4:12] + ds64 + riff[12:])
    assert len(found) == 1000


def test_no_samples_at_all_is_an_error_although_metadata_follows() -> None:
    with pytest.raises(AudioError, match="holds no samples"):
        read_wav(wav_bytes(b"", behind=chunk(b"LIST", b"INFO" * 10)))


def test_fewer_samples_than_declared_is_an_error_behind_those_that_came() -> None:
    with pipe_with(wav_bytes(s16(noise(100)), data_size=32000)) as pipe:
        blocks = open_wav(pipe).blocks()
        assert len(next(blocks)) == 100
        with pytest.raises(AudioError, match=r"declares 16000 samples \(1.000 s\), of which 100 \(0.006 s\)"):
            next(blocks)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"fLaC" + b"\0" * 100, "begins with b'fLaC'.*--raw"),
        (wav_bytes(b"\0" * 100)[:30], "ends inside its header, after 30 bytes"),
        (wav_bytes(b"\0" * 100, codec=2, bits=8), "holds Microsoft ADPCM; expected PCM or float"),
        (wav_bytes(b"\0" * 100, codec=7, bits=8), "holds mu-law"),
        (wav_bytes(b"\0" * 100, codec=0x1234, extensible=True), "codec 0x1234"),
        (wav_bytes(b"\0" * 100, bits=40), "declares 5 bytes for a sample of 1 channel"),
        (wav_bytes(b"\0" * 100, channels=0), "declares 0 channels"),
        (b"RIFF\x40\0\0\0AVI LIST", "a RIFF file of kind b'WAVE', got kind b'AVI '"),
        (b"RIFF\x40\0\0\0WAVEdata\x04\0\0\0\0\0\0\0", "no 'fmt ' chunk"),
        (b"RIFF\x40\0\0\0WAVEfmt \x04\0\0\0\0\0\0\0data\0\0\0\0", "'fmt ' chunk of 4 bytes"),
    ],
)
def test_what_is_wrong_with_a_stream_is_said_in_words(data: bytes, words: str) -> None:
    with pytest.raises(AudioError, match=words) as raised:
        read_wav(data)
    assert raised.value.stage == "decode"


def test_raw_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match="unknown raw encoding 's12le'; expected one of u8, s16le"):
        open_raw(0, "s12le", sample_rate=16000)
    with pytest.raises(ValueError, match=r"sample_rate \(=0\) must be >= 1"):
        open_raw(0, "s16le", sample_rate=0)
    with pytest.raises(ValueError, match=r"channels \(=-1\) must be >= 1"):
        open_raw(0, "s16le", sample_rate=1, channels=-1)


def test_a_closed_descriptor_is_an_error_in_words() -> None:
    out, into = os.pipe()
    os.close(into)
    os.close(out)
    with pytest.raises(AudioError, match="reading failed after 0 bytes: Bad file descriptor"):
        open_wav(out)
