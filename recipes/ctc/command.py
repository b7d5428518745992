"""What the recipes' commands share: one clear line for what a user can mend, and how to stop."""

from __future__ import annotations

import sys
from collections.abc import Callable

USAGE, INTERRUPTED = 2, 130


def run_command(command: Callable[[], None]) -> None:
    """Run `command`; a fault that its arguments or files explain is one line on stderr, and exit status 2."""
    try:
        command()
    except (ValueError, FileNotFoundError, TypeError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(USAGE)
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from the last checkpoint.", file=sys.stderr)
        sys.exit(INTERRUPTED)
