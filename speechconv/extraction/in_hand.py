"""What a call has in hand, in a file that outlives its process: a repeat of the call sees what the process died of.

OUT/.speechconv-hand-HEX.tmp       a line for each attempt: the indices of its tasks as they were begun
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path


class InHand:
    """The file of one call; a context manager that takes it away when the call ends by itself.

    Args:
        path: of the file, the same for each attempt.

    Attributes:
        deaths: of processes, by the index of the task that they had in hand.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        attempts = os.pread(self._descriptor, os.fstat(self._descriptor).st_size, 0).split(b"\n")
        self.deaths = Counter(int(attempt.split()[-1]) for attempt in attempts if attempt.strip())
        if self.deaths:
            os.write(self._descriptor, b"\n")

    def __enter__(self) -> InHand:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
        self._path.unlink(missing_ok=True)

    def begin(self, index: int) -> None:
        """Tell that this task is in hand from now on, and those before it are not."""
        os.write(self._descriptor, b"%d " % index)
