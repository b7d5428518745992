"""The command line: parse, call the library, print. Heavy libraries load in the command that needs them.

stdout: results. stderr: progress, warnings, one line of totals. Exit status: 0 all good, 1 a check failed, 2 usage,
3 some inputs failed, 4 disk full, 130 Ctrl-C. A reader that goes away (`| head`) ends a command quietly.
"""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Sequence
from typing import NoReturn

from speechconv import __version__
from speechconv.commands import (
    check,
    compare,
    convert,
    describe,
    extract,
    merge,
    presets,
    report,
    stats,
    stream,
    verify,
)
from speechconv.commands.output import ReaderGone, say
from speechconv.commands.status import DISK_FULL, INTERRUPTED, OK, USAGE
from speechconv.disk import is_disk_full

COMMANDS = (extract, check, report, stats, merge, convert, stream, compare, verify, presets, describe)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    parser = _parser()
    args = parser.parse_args(argv)
    name = f"{parser.prog} {args.command}"
    _occupy_standard_descriptors()
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: say(f"{name}: warning: {message}")
            return args.run(args)
    except ReaderGone:
        return OK
    except KeyboardInterrupt as stop:
        say(f"{name}: interrupted. {stop}".rstrip())
        return INTERRUPTED
    except (ValueError, TypeError, OSError, ImportError) as error:
        say(f"{name}: {error}")
        return DISK_FULL if isinstance(error, OSError) and is_disk_full(error) else USAGE


def _occupy_standard_descriptors() -> None:
    """Of the descriptors 0, 1 and 2, those that are closed lead nowhere, lest the next file be taken for one."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with a command line in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="speechconv",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="From raw waveform to frame features with convolutions, offline and live with the same answer.",
        epilog="exit status: 0 all good, 1 a check failed, 2 usage, 3 some inputs failed, 4 disk full, 130 Ctrl-C\n\n"
        "example:\n  speechconv extract recordings/ --output features --jobs 2",
    )
    parser.add_argument("--version", action="version", version=f"speechconv {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    for command in COMMANDS:
        command.add(commands)
    return parser
