"""One run at a time in a folder."""

from __future__ import annotations

import contextlib
import fcntl
from pathlib import Path

import pytest

import speechconv as sc
from speechconv.extraction.lock import LOCK, only_run_in


def test_a_lock_whose_owner_has_deleted_it_keeps_nobody_out_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between our opening it and our locking it, its owner ends and another run begins."""
    flock = fcntl.flock
    with contextlib.ExitStack() as stack:

        def meanwhile(descriptor: int, operation: int) -> None:
            monkeypatch.setattr(fcntl, "flock", flock)
            (tmp_path / LOCK).unlink()
            stack.enter_context(only_run_in(tmp_path))
            flock(descriptor, operation)

        monkeypatch.setattr(fcntl, "flock", meanwhile)
        with pytest.raises(ValueError, match="another extract is at work in"), only_run_in(tmp_path):
            pass


def test_two_runs_at_once_in_one_folder_are_refused(corpus: Path, out: Path) -> None:
    with only_run_in(out), pytest.raises(ValueError, match="another extract is at work"):
        sc.extract(corpus, out=out)
    assert not (out / "manifest.jsonl").exists()
    assert sc.extract(corpus, out=out).files_ok == 4
