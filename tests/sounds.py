"""WAV bytes made by hand, so that the readers are judged by another hand than their own."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray


def noise(samples: int, channels: int = 1, seed: int = 0) -> NDArray[np.float64]:
    """(samples, channels) within -1 ... 1."""
    return np.random.default_rng(seed).uniform(-0.9, 0.9, (samples, channels))


def wav_bytes(
    data: bytes,
    *,
    codec: int = 1,
    bits: int = 16,
    channels: int = 1,
    sample_rate: int = 16000,
    data_size: int | None = None,
    riff_size: int | None = None,
    before: bytes = b"",
    behind: bytes = b"",
    extensible: bool = False,
) -> bytes:
    """A WAV file around `data`; the sizes are true unless given, `before` and `behind` are whole chunks."""
    frame_bytes = channels * bits // 8
    tag = 0xFFFE if extensible else codec
    fmt = struct.pack("<HHIIHH", tag, channels, sample_rate, sample_rate * frame_bytes, frame_bytes, bits)
    if extensible:
        guid = struct.pack("<H", codec) + bytes.fromhex("000000001000800000aa00389b71")
        fmt += struct.pack("<HHI", 22, bits, 0) + guid
    size = len(data) if data_size is None else data_size
    body = b"WAVE" + chunk(b"fmt ", fmt) + before + b"data" + struct.pack("<I", size) + data + behind
    return b"RIFF" + struct.pack("<I", len(body) if riff_size is None else riff_size) + body


def chunk(name: bytes, content: bytes) -> bytes:
    """A RIFF chunk, padded to an even count."""
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def s16(samples: NDArray) -> bytes:
    """Samples as 16-bit little-endian bytes."""
    return np.round(samples * 32767).astype("<i2").tobytes()
