"""`speechconv describe`: what a pipeline is made of, stage by stage."""

from __future__ import annotations

import argparse
from typing import Any

from speechconv.commands.options import add_command, add_set
from speechconv.commands.output import print_result
from speechconv.commands.status import OK


def add(commands: Any) -> None:
    command = add_command(
        commands,
        "describe",
        run,
        "what a pipeline is made of, stage by stage",
        "speechconv describe logmel --set mel.n_mels=40",
    )
    command.description = (
        "Shapes, parameters, stride, receptive field and lookahead (samples and ms) of each stage, for 1 s of sound."
    )
    command.add_argument("pipeline", metavar="PIPELINE", help="preset name, .toml or .safetensors file")
    add_set(command)


def run(args: argparse.Namespace) -> int:
    from speechconv.cost import describe
    from speechconv.pipeline import open_pipeline

    print_result(f"{describe(open_pipeline(args.pipeline, dict(args.set)))}\n")
    return OK
