"""run.json as it is read again; `speechconv.extraction.run_record` says what stands in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Record = dict[str, Any]
RUN = "run.json"
ENDINGS = ("failed", "disk full", "interrupted", "running")
"""Other statuses than "finished", the worst first."""


def read_record(folder: Path) -> Record:
    """What run.json says; nothing where there is none.

    Raises:
        ValueError: a file that speechconv did not write.
    """
    path = folder / RUN
    if not path.exists():
        return {}
    try:
        fields = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is not what speechconv wrote ({error}); choose another folder.") from None
    if not isinstance(fields, dict):
        raise ValueError(f"{path} is not what speechconv wrote (no object in it); choose another folder.")
    return fields


def total_of(record: Record, name: str) -> float:
    """One of the totals, 0 where the run did not come to write them."""
    return (record.get("totals") or {}).get(name) or 0
