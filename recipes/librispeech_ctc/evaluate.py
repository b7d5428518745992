"""Test a recogniser: word and character error rate of each part of the corpus, by greedy decoding.

    python recipes/librispeech_ctc/evaluate.py RUN --data LibriSpeech/test-clean LibriSpeech/test-other

Takes the last checkpoint, so that a run can be tested while it trains. Writes RUN/metrics.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from recipes.ctc.command import run_command
from recipes.ctc.processes import own_device
from recipes.ctc.run_folder import RunFolder
from recipes.ctc.scoring import Interval, score, word_error_rate
from recipes.librispeech_ctc.corpus import DATA_HELP, Utterance, find_utterances
from recipes.librispeech_ctc.recognise import Trained, load_trained
from recipes.librispeech_ctc.units import check_tellable, spaced


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder that train.py made")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help=DATA_HELP)
    parser.add_argument("--device", help="cpu or cuda (default: cuda where there is one)")
    args = parser.parse_args(arguments)
    run_command(lambda: _evaluate(args))


def _evaluate(args: argparse.Namespace) -> None:
    for name, measured in evaluate(RunFolder(args.run), args.data, own_device(args.device)).items():
        print(f"{name}: {summary(measured)}")


def evaluate(run: RunFolder, data: Sequence[Path], device: torch.device) -> dict[str, Any]:
    """The metrics of each folder by its name, which are also written into the run's.

    Raises:
        FileNotFoundError: no run, none with a checkpoint yet, or no data.
        ValueError: transcripts that the run's vocabulary cannot tell, a corpus at fault, or two folders of one name.
    """
    parts = {part.resolve().name: part for part in data}
    if len(parts) < len(data):
        raise ValueError(f"{' '.join(map(str, data))}: metrics are kept by a folder's name; test them one by one.")
    trained = load_trained(run, device)
    metrics = {name: measured(trained, part) for name, part in parts.items()}
    run.write("metrics.json", metrics)
    return metrics


def measured(trained: Trained, part: Path) -> dict[str, Any]:
    """How a recogniser does on one folder."""
    utterances = find_utterances(part)
    check_tellable(trained.vocabulary.tokens, (utterance.text for utterance in utterances), str(part))
    heard = trained.transcribe(utterances)
    words, characters = (rates(utterances, heard, split) for split in (str.split, spaced))
    return {
        "step": trained.step,
        "utterances": len(utterances),
        "wer": asdict(words),
        "cer": asdict(characters),
        "heard": {utterance.name: text for utterance, text in zip(utterances, heard, strict=True)},
    }


def rates(utterances: Sequence[Utterance], heard: Sequence[str], split: Any) -> Interval:
    """Error rate in what `split` makes of a text."""
    return word_error_rate(
        [score([list(split(one.text)) for one in utterances], [list(split(text)) for text in heard])]
    )


def summary(measured: dict[str, Any]) -> str:
    words, characters = Interval(**measured["wer"]), Interval(**measured["cer"])
    return (
        f"{words.percent()} % words wrong, {characters.percent()} % characters (95 %), "
        f"{measured['utterances']} utterances, after {measured['step']} steps"
    )


if __name__ == "__main__":
    main()
