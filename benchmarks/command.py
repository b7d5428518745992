"""How soon the command line answers: `speechconv --help` beside Python that does nothing, and beside `import torch`.

    python -m benchmarks.command [--repeats 11]

`--help` is to answer within 0.3 s: nothing heavy is loaded for it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence

from benchmarks.timing import machine, markdown_table, time_in_turn, versions

COMMANDS = {
    "python -c pass": ("-c", "pass"),
    "python -c 'import torch'": ("-c", "import torch"),
    "speechconv --help": ("-m", "speechconv", "--help"),
    "speechconv extract --help": ("-m", "speechconv", "extract", "--help"),
}


def run(arguments: Sequence[str]) -> None:
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=11)
    args = parser.parse_args(arguments)
    print(machine(), versions(("torch", "speechconv")), "", sep="\n")
    works = {name: lambda command=command: run(command) for name, command in COMMANDS.items()}
    taken = time_in_turn(works, repeats=args.repeats)
    print(markdown_table(("command", "median s"), [(name, f"{seconds:.3f}") for name, seconds in taken.items()]))


if __name__ == "__main__":
    main()
