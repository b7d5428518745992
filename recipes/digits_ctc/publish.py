"""Make the preset `digits` of a trained run: its TOML with a line about it, and its weights.

python recipes/digits_ctc/publish.py RUN
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import speechconv
from recipes.ctc.command import run_command
from recipes.ctc.run_folder import RunFolder
from recipes.digits_ctc.recognise import load_recogniser

DESCRIPTION = (
    "a trained recogniser of spoken English digits at 8 kHz: learned STFT, log-mel, Conformer convolutions; 50 frames "
    "a second of 11 scores, the blank's first; recipes/digits_ctc says how it was made and what it can"
)
PRESETS = Path(speechconv.__file__).parent / "presets"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder that train.py made")
    parser.add_argument("--output", type=Path, default=PRESETS, help="folder of the preset (default: the package's)")
    args = parser.parse_args(arguments)
    run_command(lambda: publish(RunFolder(args.run), args.output))


def publish(run: RunFolder, folder: Path) -> None:
    recogniser = load_recogniser(run)
    (folder / "digits.toml").write_text(f'description = "{DESCRIPTION}"\n{recogniser.to_toml()}', "utf-8")
    recogniser.save(folder / "digits.safetensors")


if __name__ == "__main__":
    main()
