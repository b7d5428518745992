"""Train and test every front-end on every fold; what is done is not done again.

python recipes/digits_ctc/compare.py --data FSDD --output runs --jobs 2
"""

from __future__ import annotations

import argparse
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from recipes.ctc.command import run_command
from recipes.digits_ctc.config import SETTINGS, front_ends, load_config
from recipes.digits_ctc.corpus import DATA_HELP, find_clips, folds
from recipes.digits_ctc.report import BASELINE
from speechconv.checks import check_count

HERE = Path(__file__).parent


class Children:
    """Processes that several threads wait for, and that are stopped together."""

    def __init__(self) -> None:
        self._running, self._stopped = set[subprocess.Popen[str]](), False
        self._lock = threading.Lock()

    def run(self, command: Sequence[str]) -> None:
        """Wait until it is done.

        Raises:
            ValueError: it failed, or was stopped; with the last that it said.
        """
        with self._lock:
            if self._stopped:
                raise ValueError(f"{shlex.join(command)} is not started any more.")
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            self._running.add(process)
        _, said = process.communicate()
        with self._lock:
            self._running.remove(process)
        if process.returncode:
            last = (said.strip().splitlines() or [f"exit status {process.returncode}"])[-1]
            raise ValueError(f"{shlex.join(command)} failed: {last}")

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.terminate()


@dataclass(frozen=True)
class Job:
    """One front-end on one fold; `config` is what `train.py` knows it by, `name` its folder."""

    data: tuple[Path, ...]
    output: Path
    config: str
    name: str
    fold: str
    seed: int
    live: bool
    options: tuple[str, ...] = ()

    @property
    def run(self) -> Path:
        return self.output / self.name / f"{self.fold}-seed{self.seed}"

    def work(self, children: Children) -> str:
        """Train and test, in processes of one thread."""
        if not (self.run / "metrics.json").exists():
            train = ["train.py", "--config", self.config, "--fold", self.fold, "--seed", str(self.seed), *self.options]
            children.run(self._python(*train, *["--live"] * self.live, "--output", str(self.run)))
            children.run(self._python("evaluate.py", str(self.run)))
        return f"{self.run} done"

    def _python(self, script: str, *arguments: str) -> list[str]:
        return [sys.executable, str(HERE / script), *arguments, "--data", *map(str, self.data), "--threads", "1"]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help=DATA_HELP)
    parser.add_argument("--output", type=Path, default=Path("runs"), help="folder for the runs")
    parser.add_argument(
        "--configs",
        nargs="+",
        metavar="CONFIG",
        default=front_ends(),
        help="front-ends, each a name or the path of a TOML file, whose runs are in a folder of the file's name "
        "without .toml (default: all of configs/)",
    )
    parser.add_argument(
        "--live",
        nargs="*",
        metavar="CONFIG",
        help="front-ends whose twins that do not look ahead are trained, as CONFIG-live: a causal acoustic model, and "
        "of encoders the causal preset (default: logmel, if it is one of --configs)",
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--folds", nargs="+", help="default: each speaker left out once, and official")
    parser.add_argument("--settings", type=Path, default=SETTINGS, help="TOML of what all front-ends share")
    parser.add_argument("--steps", type=int, help="instead of the settings'")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, of one thread each")
    args = parser.parse_args(arguments)
    run_command(lambda: compare(list(jobs(args)), args.jobs), resumes=True)


def jobs(args: argparse.Namespace) -> Iterator[Job]:
    """The fixed front-end first, then the others, then the live ones of the others.

    Raises:
        FileNotFoundError, ValueError: as `variants` does, before the first job.
    """
    names = args.folds or [fold.name for fold in folds(find_clips(*args.data))]
    options = ["--settings", str(args.settings), *([] if args.steps is None else ["--steps", str(args.steps)])]
    chosen = variants(args)
    for seed in args.seeds:
        for name, (config, live) in chosen.items():
            yield from (
                Job(tuple(args.data), args.output, config, name, fold, seed, live, tuple(options)) for fold in names
            )


def variants(args: argparse.Namespace) -> dict[str, tuple[str, bool]]:
    """By the name of its runs, each front-end as it was given, and whether it is the live one.

    Raises:
        FileNotFoundError: there is no such front-end.
        ValueError: one that the training would refuse; two of one name.
    """
    twins = [config for config in args.configs if Path(config).stem == BASELINE] if args.live is None else args.live
    found: dict[str, tuple[str, bool]] = {}
    for config, live in [*((config, False) for config in args.configs), *((config, True) for config in twins)]:
        loaded = load_config(config, settings=args.settings, live=live, steps=args.steps)
        loaded.build().as_pipeline()
        if loaded.name in found:
            raise ValueError(
                f"{found[loaded.name][0]} and {config} would both be trained as {loaded.name}; expected front-ends of "
                "different names, rename a file or leave one out."
            )
        found[loaded.name] = config, live
    return dict(sorted(found.items(), key=lambda one: one[0].removesuffix("-live") != BASELINE))


def compare(work: Sequence[Job], at_once: int) -> None:
    """All of them, `at_once` at a time. A fault of one, or Ctrl-C, stops those that run; the next start resumes them.

    Raises:
        ValueError: one of them failed.
    """
    children = Children()
    with ThreadPoolExecutor(check_count("jobs", at_once)) as pool:
        try:
            for number, message in enumerate(pool.map(lambda job: job.work(children), work), 1):
                print(f"{number}/{len(work)} {message}", flush=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            children.stop()
            raise


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # kill, too, must leave no training behind
    main()
