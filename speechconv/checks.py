"""Arguments that must be a count, a number, a flag, a known name or one of a few words; errors say what came."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from numbers import Integral, Real


def check_count(name: str, value: object, least: int = 1) -> int:
    """`value` as an int.

    Raises:
        ValueError: no integer, or one below `least`.

    >>> check_count("hop_length", 0)
    Traceback (most recent call last):
    ValueError: hop_length (=0) must be an integer >= 1.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} (={value!r}) must be an integer >= {least}.")
    return int(value)


def check_counts(name: str, values: object, meaning: str) -> tuple[int, ...]:
    """`values` as a tuple of ints, at least one; `meaning` says what they are, or what else may stand there.

    Raises:
        ValueError: no tuple or list, an empty one, or one in which something is no integer >= 1.

    >>> check_counts("strides", (5, 0), "one for each convolution")
    Traceback (most recent call last):
    ValueError: strides[1] (=0) must be an integer >= 1.
    >>> check_counts("strides", 5, "one for each convolution")
    Traceback (most recent call last):
    ValueError: strides (=5) must be a tuple of integers >= 1, one for each convolution.
    """
    if not isinstance(values, tuple | list) or not values:
        raise ValueError(f"{name} (={values!r}) must be a tuple of integers >= 1, {meaning}.")
    return tuple(check_count(f"{name}[{i}]", value) for i, value in enumerate(values))


def check_number(name: str, value: object, *, least: float | None = None, above: float | None = None) -> float:
    """`value`, a finite number; the bounds are optional.

    Raises:
        ValueError: no number, an infinite one or NaN, one below `least`, or one not above `above`.

    >>> check_number("eps", 0.0, above=0)
    Traceback (most recent call last):
    ValueError: eps (=0.0) must be > 0.
    """
    if isinstance(value, Real) and not isinstance(value, bool):
        number = float(value)
        if math.isfinite(number) and (least is None or number >= least) and (above is None or number > above):
            return number
    bound = f"be >= {least}" if least is not None else f"be > {above}" if above is not None else "be a finite number"
    raise ValueError(f"{name} (={value!r}) must {bound}.")


def check_unit_interval(name: str, value: object) -> float:
    """`value`, a number in 0 ... 1; ValueError unless it is one.

    >>> check_unit_interval("dropout", 1.5)
    Traceback (most recent call last):
    ValueError: dropout (=1.5) must lie in 0 ... 1.
    """
    if isinstance(value, Real) and not isinstance(value, bool) and 0 <= float(value) <= 1:
        return float(value)
    raise ValueError(f"{name} (={value!r}) must lie in 0 ... 1.")


def check_flag(name: str, value: object) -> bool:
    """`value` as it is; ValueError unless it is True or False, because any other text counts as true in Python."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} (={value!r}) must be True or False (true or false in TOML).")
    return value


def check_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    """ValueError unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{name} (={value!r}) must be one of {', '.join(map(repr, choices))}.")


def check_known(names: Iterable[str], accepted: Iterable[str], what: str, where: str) -> None:
    """ValueError unless every name is accepted; it names the nearest match and all accepted ones.

    >>> check_known(["confromer"], ["log", "conformer"], "stage", "my.toml")
    Traceback (most recent call last):
    ValueError: unknown stage 'confromer' in my.toml; did you mean 'conformer'? Accepted: log, conformer.
    """
    accepted = list(map(str, accepted))
    for name in names:
        if name not in accepted:
            near = difflib.get_close_matches(str(name), accepted, n=1, cutoff=0.5)
            hint = f" did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"unknown {what} {name!r} in {where};{hint} Accepted: {', '.join(accepted) or 'none'}.")
