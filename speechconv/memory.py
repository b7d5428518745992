"""How a process of our own holds the memory that it frees.

Tensors of a tile, a megabyte each, come and go a thousand times a second. glibc gives such memory back to the system
at once, which then has to clear every page of it again: as long as the arithmetic takes.
"""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT_BYTES = 1 << 28
"""Freed memory that stays with the process, at most."""
MAPPED_BYTES = 1 << 25
"""Blocks above this are the system's own: the largest threshold that glibc takes."""


def keep_freed_memory() -> bool:
    """Keep up to 256 MiB of freed memory for what comes next; False where the C library has no such setting.

    For processes whose only work is extraction or training: it holds for the whole process, until its end.

    Source: mallopt(3).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # ours alone: musl and macOS have none
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES) and mallopt(M_TRIM_THRESHOLD, KEPT_BYTES))
