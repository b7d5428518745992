"""Ids that are one input's only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from speechconv.extraction.inputs.item import Input


def refuse_same_id(items: Iterable[Input]) -> Iterator[Input]:
    """Of inputs with one id, the first stays."""
    first: dict[str, str] = {}
    for item in items:
        if item.problem is not None:
            yield item
        elif item.id in first:
            problem = (
                f"has the id {item.id!r}, as {first[item.id]} before it; give it another id, or extract it into "
                "another folder."
            )
            yield replace(item, problem=problem)
        else:
            first[item.id] = item.audio
            yield item
