"""Files of statistics: JSON that a person can read, and the matrix of Kaldi's compute-cmvn-stats.

    JSON    {"count": n, "channels": D, "mean": [...], "variance": [...], "recipes": [...]}
    Kaldi   sum x_1 ...   sum x_D     n          2 x (D + 1), binary (float or double) or text
            sum x_1^2 ... sum x_D^2   0

Numbers of the JSON are written so that they are read back bit by bit; Kaldi's sums of squares lose digits of a variance
that is small beside its mean's square.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechconv.stores.whole_file import whole_file

KALDI_BINARY = b"\0B"
KALDI_DTYPES = {b"FM ": "<f4", b"DM ": "<f8"}


@dataclass(frozen=True, eq=False)
class Numbers:
    """What a file holds."""

    count: int
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    recipes: tuple[str, ...] = ()


def read_statistics(path: Path) -> Numbers:
    """What any of these files holds; its first bytes tell which it is.

    Raises:
        FileNotFoundError: no such file.
        ValueError: none of these.
    """
    if not path.exists():
        raise FileNotFoundError(f"no file of statistics at {path}; `speechconv stats DIR -o {path}` makes one.")
    data = path.read_bytes()
    try:
        found = _from_json(json.loads(data)) if data.lstrip()[:1] == b"{" else _from_sums(_matrix(data))
        _check(found)
    except (ValueError, KeyError, TypeError, OverflowError, struct.error) as error:
        raise ValueError(
            f"{path} holds no statistics of features ({error}); expected the JSON of `speechconv stats`, or one matrix "
            "of Kaldi's compute-cmvn-stats."
        ) from None
    return found


def write_statistics(path: Path, numbers: Numbers) -> None:
    """Write the file that its extension asks for, whole or not at all.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: another extension.
    """
    check_statistics_path(path)
    with whole_file(path) as file:
        file.write(WRITERS[path.suffix](numbers))


def check_statistics_path(path: Path) -> None:
    """Before the work, not after it; errors as `write_statistics`."""
    if path.suffix not in WRITERS:
        raise ValueError(f"statistics are written as {', '.join(WRITERS)} (.json is ours, others Kaldi's); got {path}.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"no folder {path.parent} to write {path.name} in; make it first.")


def _from_json(fields: dict[str, Any]) -> Numbers:
    mean, variance = (np.asarray(fields[key], np.float64) for key in ("mean", "variance"))
    if len(mean) != fields["channels"]:
        raise ValueError(f"{fields['channels']} channels, but {len(mean)} means")
    return Numbers(int(fields["count"]), mean, variance, tuple(map(str, fields["recipes"])))


def _to_json(numbers: Numbers) -> bytes:
    fields = {
        "count": numbers.count,
        "channels": len(numbers.mean),
        "mean": numbers.mean.tolist(),
        "variance": numbers.variance.tolist(),
        "recipes": list(numbers.recipes),
    }
    return (json.dumps(fields, indent=1) + "\n").encode()


def _from_sums(sums: NDArray[np.float64]) -> Numbers:
    if sums.ndim != 2 or len(sums) != 2 or sums.shape[1] < 2:
        raise ValueError(f"a matrix of {sums.shape}, not (2, channels + 1)")
    count = sums[0, -1]
    if not count >= 1:
        raise ValueError(f"a count of {count:g} frames")
    mean = sums[0, :-1] / count
    # rounding of the two sums may leave a constant channel a little below 0
    return Numbers(round(count), mean, np.maximum(sums[1, :-1] / count - np.square(mean), 0))


def _sums(numbers: Numbers) -> NDArray[np.float64]:
    n, mean, variance = numbers.count, numbers.mean, numbers.variance
    return np.array([[*n * mean, n], [*n * (variance + np.square(mean)), 0]])


def _matrix(data: bytes) -> NDArray[np.float64]:
    """Kaldi's matrix, binary or text, on its own: not the entry of an archive, before which stands its key."""
    if not data.startswith(KALDI_BINARY):
        text = data.decode("ascii").strip()
        if not (text.startswith("[") and text.endswith("]")):
            raise ValueError("it begins neither with { nor with [ nor as Kaldi's binary matrices do")
        return np.array([row.split() for row in text.strip("[]").strip().splitlines()], np.float64)
    dtype = KALDI_DTYPES.get(data[2:5])
    if dtype is None:
        raise ValueError(f"a Kaldi object of the kind {data[2:5]!r}, not a float or double matrix")
    size_r, rows, size_c, columns = struct.unpack_from("<bibi", data, 5)
    content = data[15:]
    if (size_r, size_c) != (4, 4) or len(content) != rows * columns * np.dtype(dtype).itemsize:
        raise ValueError("a damaged matrix")
    return np.frombuffer(content, dtype).reshape(rows, columns).astype(np.float64)


def _kaldi_binary(numbers: Numbers) -> bytes:
    sums = _sums(numbers)
    header = KALDI_BINARY + b"DM " + struct.pack("<bibi", 4, sums.shape[0], 4, sums.shape[1])
    return header + sums.astype("<f8").tobytes()


def _kaldi_text(numbers: Numbers) -> bytes:
    first, second = (" ".join(map(repr, row)) for row in _sums(numbers).tolist())
    return f" [\n  {first}\n  {second} ]\n".encode()


def _check(numbers: Numbers) -> None:
    if numbers.mean.ndim != 1 or numbers.mean.shape != numbers.variance.shape or not len(numbers.mean):
        raise ValueError("means and variances are not one for each channel")
    if numbers.count < 1 or not np.isfinite([numbers.mean, numbers.variance]).all() or (numbers.variance < 0).any():
        raise ValueError("a count below 1, a negative variance, or numbers that are not finite")


WRITERS: dict[str, Callable[[Numbers], bytes]] = {
    ".json": _to_json,
    ".ark": _kaldi_binary,
    ".stats": _kaldi_binary,
    ".mat": _kaldi_binary,
    ".txt": _kaldi_text,
}
"""By the extension of the file."""
