"""A disk without space, which ends a command with an exit status of its own."""

from __future__ import annotations

import errno


def is_disk_full(error: OSError) -> bool:
    """True where no space, or none of one's share, is left."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
