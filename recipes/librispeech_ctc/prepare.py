"""Look a corpus through, and find pieces of words (BPE) in its transcripts for a vocabulary.

    python recipes/librispeech_ctc/prepare.py --data LibriSpeech/train-clean-100 --pieces 500 --output bpe500.model

Without --pieces it only looks: all that training would refuse is told here. Characters need no preparation.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from recipes.ctc.command import run_command
from recipes.librispeech_ctc.corpus import DATA_HELP, SAMPLE_RATE, find_utterances
from recipes.librispeech_ctc.units import Characters, train_pieces


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help=DATA_HELP)
    parser.add_argument("--pieces", type=int, metavar="N", help="size of the vocabulary, the blank among it")
    parser.add_argument("--output", type=Path, default=Path("pieces.model"), help="file for the pieces")
    args = parser.parse_args(arguments)
    run_command(lambda: prepare(args.data, args.pieces, args.output))


def prepare(data: Sequence[Path], pieces: int | None, output: Path) -> None:
    utterances = find_utterances(*data)
    seconds = [utterance.samples / SAMPLE_RATE for utterance in utterances]
    texts = [utterance.text for utterance in utterances]
    print(f"{len(utterances)} utterances, {sum(seconds) / 3600:.3g} hours, the longest {max(seconds):.1f} s")
    print(f"characters: {' '.join(Characters(texts).vocabulary.tokens)}")
    if pieces is not None:
        train_pieces(texts, pieces, output)
        print(f"{output}: {pieces} pieces; next: train.py --vocabulary {output}")


if __name__ == "__main__":
    main()
