"""Look the recordings through, and write down each fold: what is trained on, and the utterances of the test.

    python recipes/digits_ctc/prepare.py --data FSDD --output folds [--test-speakers lucas,theo]

Without --test-speakers: each speaker left out once, and the official split. train.py and evaluate.py follow the same
rules by themselves; these files are for reading, and for tests of other programs on the same utterances.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recipes.ctc.command import run_command
from recipes.digits_ctc.corpus import (
    DATA_HELP,
    SAMPLE_RATE,
    Fold,
    find_clips,
    folds,
    leave_out,
    listed_names,
    read,
    speakers,
)
from recipes.digits_ctc.utterances import TEST_SEED, connected


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help=DATA_HELP)
    parser.add_argument("--output", type=Path, default=Path("folds"), help="folder for a JSON file a fold")
    parser.add_argument("--test-speakers", metavar="A,B", help="one fold, which leaves these speakers for the test")
    args = parser.parse_args(arguments)
    run_command(lambda: prepare(args.data, args.output, args.test_speakers))


def prepare(data: Sequence[Path], output: Path, test_speakers: str | None) -> None:
    clips = find_clips(*data)
    seconds = sum(len(read(clip)) for clip in clips) / SAMPLE_RATE
    print(f"{len(clips)} recordings, {seconds / 60:.1f} minutes, speakers {', '.join(speakers(clips))}")
    chosen = folds(clips) if test_speakers is None else [leave_out(clips, listed_names(test_speakers))]
    output.mkdir(parents=True, exist_ok=True)
    for fold in chosen:
        content = described(fold)
        (output / f"{fold.name}.json").write_text(json.dumps(content, indent=1) + "\n", "utf-8")
        count = len(content["utterances"])
        print(
            f"{fold.name}: {len(fold.training)} recordings to train on, {len(fold.test)} to test in {count} utterances"
        )


def described(fold: Fold) -> dict[str, Any]:
    """A fold in words and file names."""
    utterances = [
        {"words": utterance.words, "files": [clip.path.name for clip in utterance.clips], "pauses": utterance.pauses}
        for utterance in connected(fold.test, TEST_SEED)
    ]
    return {"name": fold.name, "training": [clip.path.name for clip in fold.training], "utterances": utterances}


if __name__ == "__main__":
    main()
