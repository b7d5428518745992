"""`speechconv report`: a run as one HTML page."""

from __future__ import annotations

import argparse
from typing import Any

from speechconv.commands.options import add_command
from speechconv.commands.output import print_result
from speechconv.commands.status import OK


def add(commands: Any) -> None:
    command = add_command(
        commands, "report", run, "a run as one HTML page", "speechconv report features/ -o report.html"
    )
    command.description = (
        "Totals, durations, loudness and clipping, failures by reason, slowest files, and a few spectrograms with "
        "their sound, in one file that loads nothing."
    )
    command.add_argument("run_folder", metavar="DIR", help="what `extract` wrote")
    command.add_argument("-o", "--output", metavar="OUT.html", help="file to write (default: DIR/report.html)")


def run(args: argparse.Namespace) -> int:
    from speechconv.runs.report import extraction_report

    print_result(f"{extraction_report(args.run_folder, args.output)}\n")
    return OK
