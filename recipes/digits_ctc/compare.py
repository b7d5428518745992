"""Train and test every front-end on every fold; what is done is not done again.

python recipes/digits_ctc/compare.py --data FSDD --output runs --jobs 2
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from recipes.ctc.command import run_command
from recipes.digits_ctc.config import SETTINGS, front_ends
from recipes.digits_ctc.corpus import DATA_HELP, find_clips, folds

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Job:
    """One front-end on one fold."""

    data: tuple[Path, ...]
    output: Path
    config: str
    fold: str
    seed: int
    live: bool
    options: tuple[str, ...] = ()

    @property
    def run(self) -> Path:
        name = self.config + ("-live" if self.live else "")
        return self.output / name / f"{self.fold}-seed{self.seed}"

    def __call__(self) -> str:
        """Train and test, in processes of one thread."""
        if not (self.run / "metrics.json").exists():
            train = ["train.py", "--config", self.config, "--fold", self.fold, "--seed", str(self.seed), *self.options]
            self._python(*train, *["--live"] * self.live, "--output", str(self.run))
            self._python("evaluate.py", str(self.run))
        return f"{self.run} done"

    def _python(self, script: str, *arguments: str) -> None:
        command = [sys.executable, str(HERE / script), *arguments, "--data", *map(str, self.data), "--threads", "1"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ValueError(f"{' '.join(command)} failed: {done.stderr.strip().splitlines()[-1]}")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help=DATA_HELP)
    parser.add_argument("--output", type=Path, default=Path("runs"), help="folder for the runs")
    parser.add_argument("--configs", nargs="+", default=front_ends(), help="front-ends (default: all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--folds", nargs="+", help="default: each speaker left out once, and official")
    parser.add_argument("--settings", type=Path, default=SETTINGS, help="TOML of what all front-ends share")
    parser.add_argument("--steps", type=int, help="instead of the settings'")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, of one thread each")
    args = parser.parse_args(arguments)
    run_command(lambda: compare(list(jobs(args)), args.jobs))


def jobs(args: argparse.Namespace) -> Iterator[Job]:
    """The fixed front-end first, live too, then the others."""
    names = args.folds or [fold.name for fold in folds(find_clips(*args.data))]
    options = ["--settings", str(args.settings), *([] if args.steps is None else ["--steps", str(args.steps)])]
    configs = sorted(args.configs, key=lambda config: config != "logmel")
    for seed in args.seeds:
        for config in configs:
            for live in (False, True) if config == "logmel" else (False,):
                yield from (
                    Job(tuple(args.data), args.output, config, fold, seed, live, tuple(options)) for fold in names
                )


def compare(work: Sequence[Job], at_once: int) -> None:
    with ThreadPoolExecutor(at_once) as pool:
        for number, message in enumerate(pool.map(Job.__call__, work), 1):
            print(f"{number}/{len(work)} {message}", flush=True)


if __name__ == "__main__":
    main()
