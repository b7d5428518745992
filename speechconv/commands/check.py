"""`speechconv check`: is everything there that the manifest says?"""

from __future__ import annotations

import argparse
from typing import Any

from speechconv.commands.options import add_command
from speechconv.commands.output import print_result, say
from speechconv.commands.status import BEYOND, OK


def add(commands: Any) -> None:
    command = add_command(
        commands,
        "check",
        run,
        "re-read what extract wrote and compare it with the manifest",
        "speechconv check features",
    )
    command.description = (
        "Read all features of DIR again and compare shape, dtype and sha256 with the manifest; they must be finite.\n"
        "One line on stdout for each thing that is wrong: its kind, the id or file, and what is wrong.\n\n"
        "  missing, damaged   features that are not there, or not as the manifest says\n"
        "  duplicate          an id or a place that two lines have\n"
        "  stray              files, or features in a shard, that no line names\n"
        "  failed             inputs without features, from errors.jsonl\n"
        "  unfinished         a run that did not get to its end"
    )
    command.add_argument("folder", metavar="DIR", help="folder that extract, merge or convert wrote")
    command.add_argument("--json", action="store_true", help="one JSON object on stdout instead")


def run(args: argparse.Namespace) -> int:
    from speechconv.stores.checking import check

    result = check(args.folder)
    print_result(f"{result.to_json()}\n" if args.json else "".join(f"{problem}\n" for problem in result.problems))
    say(f"speechconv check: {result}")
    return OK if result.good else BEYOND
