"""Which tensors of a file could be a bank of filters on raw sound?

shape      (filters, 1, taps), also with more axes of size 1, or (filters, taps); at least 4 filters of 16 taps
name       with a word such as stft, wcos or filterbank in it before others; inverse transforms last
pairs      two tensors of one shape, whose names differ by real / imag or cos / sin: "conv_real,conv_imag"
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

from torch import Tensor

MIN_FILTERS, MIN_TAPS = 4, 16
WORDS = re.compile(r"stft|wcos|wsin|filter|basis|fbank|gabor|sinc|kernel|analysis|frontend|front_end", re.IGNORECASE)
INVERSE = re.compile(r"inv|istft|synthesis|decoder", re.IGNORECASE)
PAIR_WORDS = (("real", "imag"), ("cos", "sin"), ("_re", "_im"), (".re", ".im"))
LISTED = 12
DELTAS = ("window_delta", "freq_delta", "filter_delta")


def choose_tensor(tensors: Mapping[str, Tensor], where: str) -> str:
    """The name of the one bank in the file, or "REAL,IMAG" where it lies in two tensors.

    Raises:
        ValueError: no candidate, or several equally good ones; lists them.
    """
    _refuse_deltas(tensors, where)
    candidates = {name: shape for name, tensor in tensors.items() if (shape := bank_shape(tensor.shape))}
    candidates = {name: shape for name, shape in candidates.items() if shape[0] >= MIN_FILTERS and shape[1] >= MIN_TAPS}
    if not candidates:
        raise ValueError(
            f"{where} holds no filters: expected a tensor of shape (filters, 1, taps) or (filters, taps), at least "
            f"{MIN_FILTERS} filters of {MIN_TAPS} taps; it holds {listing(tensors, tensors)}."
        )
    ranks = {name: _rank(name, tensors[name]) for name in candidates}
    best = [name for name in candidates if ranks[name] == min(ranks.values())]
    banks = list(_joined(best, candidates))
    if len(banks) > 1:
        raise ValueError(
            f"{where} holds {len(banks)} tensors that may be the filters; choose by --tensor NAME (or tensor=...), or "
            f"--tensor REAL,IMAG for two: {listing(banks, tensors)}."
        )
    return banks[0]


def _refuse_deltas(tensors: Mapping[str, Tensor], where: str) -> None:
    """A ConvSTFT's parameters are deviations from its filters, which a bare state dict does not hold."""
    deltas = [name for name in tensors if name.rpartition(".")[2] in DELTAS]
    if deltas:
        raise ValueError(
            f"{where} holds {', '.join(deltas)}, by which a ConvSTFT deviates from its STFT, and not the filters; save "
            "the pipeline itself: pipe.save('learned.safetensors')."
        )


def bank_shape(shape: Iterable[int]) -> tuple[int, int] | None:
    """(filters, taps) of a tensor that may be filters on one channel, else None.

    >>> bank_shape((258, 1, 256)), bank_shape((512, 400)), bank_shape((64, 64, 3)), bank_shape((1, 1, 400))
    ((258, 256), (512, 400), None, (1, 400))
    """
    axes = list(shape)
    if len(axes) < 2 or any(axis != 1 for axis in axes[1:-1]) or axes[-1] < 2:
        return None
    return axes[0], axes[-1]


def named_tensor(tensors: Mapping[str, Tensor], name: str, where: str) -> Tensor:
    """ValueError unless there is such a tensor; names the nearest match."""
    if name in tensors:
        return tensors[name]
    near = difflib.get_close_matches(name, tensors, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    raise ValueError(f"no tensor {name!r} in {where}{hint} It holds {listing(tensors, tensors)}.")


def listing(names: Iterable[str], tensors: Mapping[str, Tensor]) -> str:
    """Names with shapes, the first few: "a (258, 1, 256), b (130, 1, 128)"; "no tensors" for none."""
    names = list(names)
    if not names:
        return "no tensors"
    words = [f"{name} {tuple(tensors[name.partition(',')[0]].shape)}" for name in names[:LISTED]]
    more = len(names) - LISTED
    return ", ".join(words) + (f" and {more} more" if more > 0 else "")


def _rank(name: str, tensor: Tensor) -> tuple[bool, bool, bool]:
    """Smaller is better."""
    return bool(INVERSE.search(name)), tensor.ndim == 2, not WORDS.search(name)


def _joined(names: list[str], shapes: Mapping[str, tuple[int, int]]) -> Iterable[str]:
    """The names, halves of a pair as one."""
    imaginary = {name: partner for name in names if (partner := _partner(name, names, shapes))}
    for name in names:
        if name not in imaginary.values():
            yield f"{name},{imaginary[name]}" if name in imaginary else name


def _partner(name: str, names: list[str], shapes: Mapping[str, tuple[int, int]]) -> str | None:
    for real, imag in PAIR_WORDS:
        other = name.replace(real, imag)
        if other != name and other in names and shapes[other] == shapes[name]:
            return other
    return None
