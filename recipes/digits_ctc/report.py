"""The table of all runs: word error rates with intervals, and paired differences from the fixed log-mel.

python recipes/digits_ctc/report.py runs > results.md
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recipes.ctc.command import run_command
from recipes.ctc.run_folder import RunFolder
from recipes.ctc.scoring import Interval, Scores, difference, word_error_rate
from recipes.digits_ctc.corpus import SAMPLE_RATE

BASELINE = "logmel"
OFFICIAL = "official"
HEAD = (
    ("front-end", "---"),
    ("leave one out, WER %", "---"),
    (f"less {BASELINE}", "---"),
    ("official, WER %", "---"),
    (f"less {BASELINE}", "---"),
    ("isolated, left out, % right", "---:"),
    ("parameters", "---:"),
    ("of them front-end", "---:"),
    ("lookahead ms", "---:"),
    ("real-time factor", "---:"),
)


@dataclass(frozen=True)
class Result:
    """Tests of one front-end: by fold and seed, in order."""

    name: str
    metrics: dict[tuple[str, str], dict[str, Any]]

    def scores(self, *, official: bool) -> list[Scores]:
        """Of the official split, or of the folds that leave speakers out; one a fold, all its seeds in it.

        Raises:
            ValueError: seeds of a fold that were tested on other utterances.
        """
        folds: dict[str, list[dict[str, list[int]]]] = {}
        for (fold, _), metrics in self.metrics.items():
            if (fold == OFFICIAL) == official:
                folds.setdefault(fold, []).append(metrics["connected"])
        if any(seed["words"] != seeds[0]["words"] for seeds in folds.values() for seed in seeds):
            raise ValueError(f"the seeds of {self.name} were tested on other utterances; test them on the same data.")
        return [together(seeds) for seeds in folds.values()]

    def rates(self, baseline: Result | None, *, official: bool) -> list[str]:
        """Word error rate, and its difference from the baseline's."""
        own = self.scores(official=official)
        if not own:
            return ["", ""]
        other = [] if baseline is None or baseline.name == self.name else baseline.scores(official=official)
        same = [scores.words for scores in own] == [scores.words for scores in other]
        return [word_error_rate(own).percent(), signed(difference(own, other)) if same else ""]

    def isolated(self) -> str:
        """Digits of speakers left out that are right, in per cent."""
        found = self._values("isolated_accuracy", official=False)
        return f"{100 * np.mean(found):.1f}" if found else ""

    def mean(self, key: str) -> float:
        """Of what does not hang on who speaks: over folds that leave speakers out, or else of the official split."""
        return float(np.mean(self._values(key, official=False) or self._values(key, official=True)))

    def _values(self, key: str, *, official: bool) -> list[float]:
        return [metrics[key] for (fold, _), metrics in self.metrics.items() if (fold == OFFICIAL) == official]

    def left_out_runs(self) -> set[tuple[str, str]]:
        """Folds that leave speakers out, and their seeds."""
        return {(fold, seed) for fold, seed in self.metrics if fold != OFFICIAL}

    def row(self, baseline: Result | None) -> list[str]:
        parameters = next(iter(self.metrics.values()))["parameters"]
        return [
            self.name,
            *self.rates(baseline, official=False),
            *self.rates(baseline, official=True),
            self.isolated(),
            f"{parameters['all']:,}",
            f"{parameters['front']:,}",
            f"{self.mean('lookahead_samples') * 1000 / SAMPLE_RATE:.0f}",
            f"{self.mean('real_time_factor'):.4f}",
        ]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, help="folder that compare.py filled")
    args = parser.parse_args(arguments)
    run_command(lambda: print(report(find_results(args.runs))))


def find_results(runs: Path) -> list[Result]:
    """Results of all runs that were tested, the fixed front-end first.

    Raises:
        FileNotFoundError: none.
    """
    found: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}
    for path in sorted(runs.glob("*/*-seed*/metrics.json")):
        fold, _, seed = path.parent.name.rpartition("-seed")
        found.setdefault(path.parent.parent.name, {})[fold, seed] = RunFolder(path.parent).read("metrics.json")
    if not found:
        raise FileNotFoundError(f"no tested run in {runs}; expected CONFIG/FOLD-seedN/metrics.json, see compare.py.")
    ordered = sorted(found, key=lambda name: (not name.startswith(BASELINE), name))
    return [Result(name, found[name]) for name in ordered]


def report(results: Sequence[Result]) -> str:
    """Two Markdown tables: all figures, and the word error rate of each speaker who was left out."""
    shown, others = on_the_same_folds(results)
    baseline = baseline_of(shown)
    rows = [[name for name, _ in HEAD], [rule for _, rule in HEAD], *(result.row(baseline) for result in shown)]
    differ = sum(metrics["live_differs_in"] for result in shown for metrics in result.metrics.values())
    tests = sum(len(result.metrics) for result in shown)
    live = f"Live and whole decoding differ in {differ} utterances of {tests} tests."
    return "\n\n".join((table(rows), by_speaker(shown), live, *others))


def on_the_same_folds(results: Sequence[Result]) -> tuple[list[Result], list[str]]:
    """Results whose means are over the same speakers, and a line about each other one.

    The speakers are those that the baseline left out or, without it, any result. A result of the official split alone
    has no such mean, and stays. One with more seeds on some speakers than on others goes: it would weigh them more.
    """
    baseline = baseline_of(results)
    judges = [baseline] if baseline is not None and baseline.left_out_runs() else results
    folds = {fold for result in judges for fold, _ in result.left_out_runs()}
    reasons = {result.name: _incomplete(result.left_out_runs(), folds) for result in results}
    shown = [result for result in results if not reasons[result.name]]
    return shown, [f"{name}: {reason}, left out" for name, reason in reasons.items() if reason]


def _incomplete(runs: set[tuple[str, str]], folds: set[str]) -> str:
    """What there is of the folds, unless it is all of them and no other, each with every seed.

    >>> _incomplete({("without-ann", "0"), ("without-bob", "0")}, {"without-ann", "without-bob"})
    ''
    >>> _incomplete({("without-ann", "0"), ("without-eve", "0")}, {"without-ann", "without-bob"})
    '1 of 2 folds and 1 of its own'
    """
    seeds = {seed for _, seed in runs}
    if runs == {(fold, seed) for fold in folds for seed in seeds}:
        return ""
    whole = [fold for fold in folds if all((fold, seed) in runs for seed in seeds)]
    others = len({fold for fold, _ in runs} - folds)
    return f"{len(whole)} of {len(folds)} folds" + (f" and {others} of its own" if others else "")


def baseline_of(results: Sequence[Result]) -> Result | None:
    return next((result for result in results if result.name == BASELINE), None)


def by_speaker(results: Sequence[Result]) -> str:
    folds = sorted({fold for result in results for fold, _ in result.metrics if fold != OFFICIAL})
    rows = [["WER %", *(fold.replace("without-", "without ") for fold in folds)], ["---"] + ["---:"] * len(folds)]
    for result in results:
        rates = [
            [metrics["wer"]["value"] for (name, _), metrics in result.metrics.items() if name == fold] for fold in folds
        ]
        rows.append([result.name, *(f"{100 * np.mean(found):.1f}" if found else "" for found in rates)])
    return table(rows)


def together(seeds: Sequence[dict[str, list[int]]]) -> Scores:
    """Several tests on the same utterances as one: more seeds are no more utterances, and narrow no interval.

    >>> together([{"errors": [1, 0], "words": [3, 4]}, {"errors": [2, 0], "words": [3, 4]}])
    Scores(errors=(3, 0), words=(6, 8))
    """
    errors = tuple(map(sum, zip(*(seed["errors"] for seed in seeds), strict=True)))
    words = tuple(map(sum, zip(*(seed["words"] for seed in seeds), strict=True)))
    return Scores(errors, words)


def signed(interval: Interval) -> str:
    """In points, with its sign.

    >>> signed(Interval(-0.021, -0.04, 0.003))
    '-2.1 (-4.0 to +0.3)'
    """
    return f"{100 * interval.value:+.1f} ({100 * interval.low:+.1f} to {100 * interval.high:+.1f})"


def table(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    main()
