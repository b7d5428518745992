"""What the recipes' commands share: one clear line for what a user can mend, and how to stop."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable

USAGE, INTERRUPTED = 2, 130


def run_command(command: Callable[[], None], *, resumes: bool = False) -> None:
    """Run `command`; a fault that its arguments, files or packages explain is one line on stderr, and exit status 2.

    Args:
        command: what to do.
        resumes: the same command goes on where it was stopped.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # letters that a terminal has not, such as ▁
    try:
        command()
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(USAGE)
    except KeyboardInterrupt:
        print(
            "\nstopped" + ("; the same command goes on from the last checkpoint." if resumes else "."), file=sys.stderr
        )
        sys.exit(INTERRUPTED)
