"""`speechconv stats`: global mean and variance of features."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from speechconv.commands.options import add_command
from speechconv.commands.output import print_result, say
from speechconv.commands.status import OK


def add(commands: Any) -> None:
    command = add_command(
        commands,
        "stats",
        run,
        "global mean and variance of features, for extract --cmvn",
        "speechconv stats train/ dev/ -o stats.json\n  speechconv stats shard1.json shard2.json more/ -o all.json",
    )
    command.description = (
        "Mean and variance of each channel over every frame of the folders, in one pass. Files of statistics count as "
        "if their frames were there."
    )
    command.add_argument(
        "source",
        nargs="+",
        metavar="DIR|STATS",
        help="what `extract` wrote, or a file of statistics (ours, or of Kaldi's compute-cmvn-stats)",
    )
    command.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="STATS",
        help="file to write: .json, or Kaldi's matrix of sums in .ark, .stats or .mat (binary) or .txt (text)",
    )


def run(args: argparse.Namespace) -> int:
    from speechconv.stores.statistics import feature_statistics
    from speechconv.stores.statistics_file import check_statistics_path

    check_statistics_path(Path(args.output))
    statistics = feature_statistics(*args.source)
    statistics.save(args.output)
    if len(statistics.recipes) > 1:
        say(f"speechconv stats: warning: these features were made by {len(statistics.recipes)} different recipes.")
    print_result(f"{args.output}: {statistics.count} frames of {statistics.channels} channels\n")
    return OK
