"""Test a trained recogniser on its fold: connected and isolated digits, as a whole and live.

    python recipes/digits_ctc/evaluate.py RUN --data FSDD
    python recipes/digits_ctc/evaluate.py RUN --data OTHER --test-speakers ann,bob      speakers of another data set

Writes RUN/metrics.json, or RUN/metrics-SPEAKERS.json. Each utterance is heard live too, and in how many of them that
gave other digits is told: there should be none.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

import speechconv as sc
from recipes.ctc.command import run_command
from recipes.ctc.run_folder import RunFolder
from recipes.ctc.scoring import Scores, score, word_error_rate
from recipes.digits_ctc.batches import rendered
from recipes.digits_ctc.corpus import DATA_HELP, SAMPLE_RATE, Clip, find_clips, fold_named, listed_names, of_speakers
from recipes.digits_ctc.recognise import listen, load_recogniser, recognise
from recipes.digits_ctc.utterances import TEST_SEED, Utterance, connected, isolated
from speechconv.checks import check_count

CHUNK = 4000
"""Samples that are pushed at a time: half a second. Any other number gives the same digits."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder that train.py made")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help=DATA_HELP)
    parser.add_argument("--test-speakers", metavar="A,B", help="test on all recordings of these instead of the fold's")
    parser.add_argument("--threads", type=int, default=1, help="of torch (default: 1)")
    args = parser.parse_args(arguments)
    run_command(lambda: _evaluate(args))


def _evaluate(args: argparse.Namespace) -> None:
    torch.set_num_threads(check_count("threads", args.threads))
    print(summary(evaluate(RunFolder(args.run), args.data, args.test_speakers)))


def evaluate(run: RunFolder, data: Sequence[Path], test_speakers: str | None = None) -> dict[str, Any]:
    """The run's metrics, which are also written into its folder.

    Args:
        run: a trained one.
        data: folders with recordings.
        test_speakers: names with commas between, to test on instead of the run's fold.

    Raises:
        FileNotFoundError: no run, or no data.
        ValueError: another vocabulary, an empty fold, or recordings of another sample rate.
    """
    recogniser, clips = load_recogniser(run), find_clips(*data)
    if test_speakers is None:
        name, test = "metrics.json", fold_named(clips, run.config()["data"]["fold"]).test
    else:
        names = listed_names(test_speakers)
        name, test = f"metrics-{','.join(names)}.json", of_speakers(clips, names)
    run.write(name, measured(recogniser, test) | {"parameters": parameters(run, recogniser)})
    return run.read(name)


def measured(recogniser: sc.Pipeline, test: Sequence[Clip]) -> dict[str, Any]:
    """How a recogniser does on test clips."""
    phrases, single = connected(test, TEST_SEED), isolated(test, TEST_SEED)
    found, live, seconds = both_ways(recogniser, phrases)
    alone, alone_live, _ = both_ways(recogniser, single)
    differ = sum(one != other for one, other in zip(found + alone, live + alone_live, strict=True))
    scores = score([phrase.words for phrase in phrases], found)
    right = sum(one.words == words for one, words in zip(single, alone, strict=True))
    return {
        "connected": asdict(scores),
        "wer": asdict(word_error_rate([scores])),
        "isolated_accuracy": right / len(single),
        "live_differs_in": differ,
        "real_time_factor": seconds,
        "lookahead_samples": recogniser.geometry.lookahead,
        "threads": torch.get_num_threads(),
    }


def both_ways(
    recogniser: sc.Pipeline, utterances: Sequence[Utterance]
) -> tuple[list[list[str]], list[list[str]], float]:
    """Digits of whole utterances, those of live streams, and seconds of the latter for a second of sound."""
    sounds = rendered(utterances)
    whole = recognise(recogniser, sounds)
    started = time.perf_counter()
    live = [[heard.word for heard in listen(recogniser, iter(sound.split(CHUNK)))] for sound in sounds]
    seconds = (time.perf_counter() - started) * SAMPLE_RATE / sum(map(len, sounds))
    return whole, live, round(seconds, 5)


def parameters(run: RunFolder, recogniser: sc.Pipeline) -> dict[str, int]:
    """Of the front-end, and of everything."""
    front = sc.Pipeline.load(run.front_end)
    return {name: sum(p.numel() for p in part.parameters()) for name, part in (("front", front), ("all", recogniser))}


def summary(metrics: dict[str, Any]) -> str:
    wer = word_error_rate([Scores(**{key: tuple(value) for key, value in metrics["connected"].items()})])
    utterances, lookahead = len(metrics["connected"]["words"]), metrics["lookahead_samples"] * 1000 / SAMPLE_RATE
    return (
        f"connected digits, {utterances} utterances: {wer.percent()} % words wrong (95 %)\n"
        f"isolated digits: {100 * metrics['isolated_accuracy']:.1f} % right\n"
        f"live and whole decoding differ in {metrics['live_differs_in']} utterances\n"
        f"real-time factor {metrics['real_time_factor']:.4f}, lookahead {lookahead:.0f} ms, "
        f"{metrics['parameters']['all']:,} parameters, {metrics['parameters']['front']:,} of them in the front-end"
    )


if __name__ == "__main__":
    main()
