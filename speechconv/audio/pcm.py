"""How samples are stored: bytes -> float32 in -1 ... 1, with the same numbers as libsndfile's.

integers    x / 2^(bits - 1), unsigned 8 bits as (x - 128) / 2^7
floats      as they are
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Encoding(NamedTuple):
    """How one sample is stored.

    Attributes:
        dtype: numpy's name of the stored type; 24 bits, which numpy lacks, are read as the top of 32.
        width: bytes of a sample.
    """

    dtype: str
    width: int

    def decode(self, data: bytes | memoryview) -> NDArray[np.float32]:
        """(n,) samples of `width * n` bytes."""
        import numpy as np

        if self.width == 3:
            stored = np.zeros((len(data) // 3, 4), np.uint8)
            stored[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
            samples = stored.view(self.dtype)[:, 0]
        else:
            samples = np.frombuffer(data, self.dtype)
        if samples.dtype.kind == "f":
            with np.errstate(over="ignore"):  # beyond float32 lies infinity, which Waveform reports
                return samples.astype(np.float32)
        scale = np.float32(2.0 ** (1 - 8 * samples.dtype.itemsize))  # a power of two: multiplying is dividing, exactly
        if samples.dtype.kind == "u":
            return (samples.astype(np.float32) - 1 / scale) * scale
        return np.multiply(samples, scale, dtype=np.float32, casting="unsafe")


RAW_FORMATS = {
    "u8": Encoding("u1", 1),
    "s16le": Encoding("<i2", 2),
    "s16be": Encoding(">i2", 2),
    "s24le": Encoding("<i4", 3),
    "s32le": Encoding("<i4", 4),
    "f32le": Encoding("<f4", 4),
    "f64le": Encoding("<f8", 8),
}
"""Raw PCM by its usual name: signed, unsigned or float, bits of a sample, byte order."""
