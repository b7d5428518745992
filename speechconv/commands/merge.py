"""`speechconv merge`: the shards of a run -> one manifest."""

from __future__ import annotations

import argparse
from typing import Any

from speechconv.commands.options import add_command
from speechconv.commands.output import print_result
from speechconv.commands.status import FAILED, OK


def add(commands: Any) -> None:
    command = add_command(
        commands,
        "merge",
        run,
        "the shards of a run -> one manifest",
        "speechconv extract corpus/ --shard 0/2 -o OUT\n  speechconv extract corpus/ --shard 1/2 -o OUT\n"
        "  speechconv merge OUT",
    )
    command.description = (
        "Writes OUT/manifest.jsonl, errors.jsonl, skipped.jsonl, run.json and the store's index for the shards in OUT. "
        "No features are moved. Exit status 3 while inputs are among the errors."
    )
    command.add_argument("out", metavar="OUT", help="what `extract --shard i/n -o OUT` wrote into")
    command.add_argument("--allow-missing", action="store_true", help="merge what is there")


def run(args: argparse.Namespace) -> int:
    from speechconv.runs.merging import merge_shards

    merged = merge_shards(args.out, allow_missing=args.allow_missing)
    print_result(f"{merged}\n")
    return FAILED if merged.files_failed else OK
