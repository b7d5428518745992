"""Matrices as small PNG pictures: one palette index a pixel, 256 colours from dark to bright."""

from __future__ import annotations

import base64
import struct
import zlib

import torch
from torch import Tensor

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOURS = "magma"
"""Matplotlib's: even in lightness, told apart by every kind of colour vision."""


def png_data_uri(matrix: Tensor, low: float, high: float) -> str:
    """The picture of a matrix as a data URI: row 0 at the top, `low` darkest, `high` brightest, beyond them clipped.

    Args:
        matrix: (rows, columns), finite.
        low, high: values of the first and the last colour, low < high.

    Source: PNG specification, ISO/IEC 15948, colour type 3.

    Example:
        >>> png_data_uri(torch.eye(2), 0.0, 1.0)[:40]
        'data:image/png;base64,iVBORw0KGgoAAAANSU'
    """
    index = ((matrix - low) / (high - low)).clamp(0, 1).mul(255).round().to(torch.uint8).cpu()
    rows, columns = index.shape
    lines = b"".join(b"\0" + bytes(row) for row in index.tolist())  # each row after its filter type, 0: none
    header = struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)
    parts = ((b"IHDR", header), (b"PLTE", _palette()), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    encoded = base64.b64encode(SIGNATURE + b"".join(_chunk(*part) for part in parts))
    return f"data:image/png;base64,{encoded.decode('ascii')}"


def _palette() -> bytes:
    import matplotlib

    return matplotlib.colormaps[COLOURS](range(256), bytes=True)[:, :3].tobytes()


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
