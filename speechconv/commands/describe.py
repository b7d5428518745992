"""`speechconv describe`: what a pipeline is made of and what it costs, stage by stage."""

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
        "what a pipeline is made of and what it costs, stage by stage",
        "speechconv describe logmel --set mel.n_mels=40 --gflops 25",
    )
    command.description = (
        "A cost sheet, for one input of batch 1 in float32 unless the file says otherwise.\n\n"
        "  parameters  all of them, biases included\n"
        "  MAC/s       multiply-adds that each further second of audio costs: products of weights with inputs, and\n"
        "              1.25 n log2 n for an FFT of n samples; norms, activations and biases do not count\n"
        "  outputs     bytes that the stage and its parts write for the described input\n"
        "  state       bytes that one live stream remembers; a dash where the pipeline cannot stream\n"
        "  stride, field, lookahead\n"
        "              of the chain so far, in ms: between two frames, that a frame depends on, that it waits for\n\n"
        "Below the table: the real-time factor at --gflops; memory in inference (all outputs, and the most at once)\n"
        "and in training (what autograd keeps; by stage in json and markdown); why it is not live, if it is not.\n"
        'A stage of unknown cost is named, and totals say "at least".'
    )
    command.add_argument("pipeline", metavar="PIPELINE", help="preset name, .toml or .safetensors file")
    add_set(command)
    command.add_argument(
        "--seconds",
        type=_positive,
        default=1.0,
        metavar="S",
        help="length of the input that shapes and memory are given for (default: 1)",
    )
    command.add_argument(
        "--gflops",
        type=_positive,
        default=10.0,
        metavar="G",
        help="floating-point operations a second, in 10^9, that the device keeps up; a multiply-add is two (default: "
        "10, a round number: measure your device)",
    )
    command.add_argument(
        "--format",
        choices=("table", "json", "markdown"),
        default="table",
        help="json has every figure, unrounded, in bytes and samples (default: table)",
    )


def run(args: argparse.Namespace) -> int:
    from speechconv.cost import describe
    from speechconv.pipeline import open_pipeline

    pipe = open_pipeline(args.pipeline, dict(args.set))
    sheet = describe(pipe, max(1, round(args.seconds * pipe.sample_rate)), gflops=args.gflops)
    shown = {"table": str, "json": type(sheet).to_json, "markdown": type(sheet).to_markdown}[args.format]
    print_result(f"{shown(sheet)}\n")
    return OK


def _positive(text: str) -> float:
    """A number above 0.

    >>> _positive("2.5")
    2.5
    """
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return number
