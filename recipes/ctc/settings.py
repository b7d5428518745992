"""Settings: a TOML file whose tables are the arguments of dataclasses."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from speechconv.checks import check_known

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Part = TypeVar("Part", bound="DataclassInstance")


def read_tables(path: Path, known: Sequence[str]) -> dict[str, Any]:
    """The tables of a file.

    Args:
        path: the file.
        known: names that tables may have.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no TOML, or an unknown table.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no settings {path}; expected a TOML file of the tables {', '.join(known)}.")
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except ValueError as error:  # its syntax, or its encoding
        raise ValueError(f"{path} is not valid TOML: {error}") from None
    check_known(tables, known, "table", str(path))
    return tables


def part(kind: type[Part], table: Mapping[str, Any], where: Path) -> Part:
    """A dataclass of a table's values, arrays as tuples.

    Raises:
        ValueError: an unknown key, or a value outside its range.
    """
    check_known(table, [field.name for field in fields(kind)], "key", str(where))
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in table.items()})
