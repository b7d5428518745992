"""Hear digits live: a recording at the pace at which it was spoken, or the fold's test utterances with their latency.

python recipes/digits_ctc/stream.py RUN FILE ...           each digit as it is heard
python recipes/digits_ctc/stream.py RUN --data FSDD        how long behind the end of each digit it is heard
... --fast                                                 without waiting for real time
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import speechconv as sc
from recipes.ctc.command import run_command
from recipes.ctc.recordings import Samples
from recipes.ctc.run_folder import RunFolder
from recipes.digits_ctc.corpus import SAMPLE_RATE, find_clips, fold_named, read
from recipes.digits_ctc.recognise import Heard, listen, open_recogniser
from recipes.digits_ctc.utterances import TEST_SEED, connected
from speechconv.audio.error import AudioError
from speechconv.audio.files import AudioFile
from speechconv.audio.waveform import Waveform

CHUNK = 160
"""Samples of a push: 20 ms."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="folder that train.py made, or digits: the preset")
    parser.add_argument("files", nargs="*", type=Path, help="recordings to listen to; resampled to 8 kHz")
    parser.add_argument("--data", type=Path, nargs="+", help="listen to the test utterances of the run's fold instead")
    parser.add_argument("--fast", action="store_true", help="do not wait for real time")
    args = parser.parse_args(arguments)
    run_command(lambda: _stream(args))


def _stream(args: argparse.Namespace) -> None:
    if bool(args.files) == bool(args.data):
        raise ValueError("expected recordings to listen to, or --data with the test utterances: one of the two.")
    torch.set_num_threads(1)
    recogniser = open_recogniser(args.run).fuse()
    for file in args.files:
        print(f"{file}:")
        for heard in live(recogniser, load_sound(file), fast=args.fast):
            print(f"  {heard.samples / SAMPLE_RATE:6.2f} s  {heard.word}", flush=True)
    if args.data:
        _test_utterances(recogniser, RunFolder(Path(args.run)), args.data, fast=args.fast)


def _test_utterances(recogniser: sc.Pipeline, run: RunFolder, data: Sequence[Path], *, fast: bool) -> None:
    """Each utterance, and the latency of every digit in those that were heard right."""
    fold = fold_named(find_clips(*data), run.config()["data"]["fold"])
    late: list[float] = []
    for utterance in connected(fold.test, TEST_SEED):
        sound, ends = utterance.render(read)
        found = list(live(recogniser, sound, fast=fast))
        words = [heard.word for heard in found]
        print(f"said  {' '.join(utterance.words)}\nheard {' '.join(words)}")
        if words == utterance.words:
            own = [(heard.samples - end) * 1000 / SAMPLE_RATE for heard, end in zip(found, ends, strict=True)]
            print("late  " + " ".join(f"{ms:.0f}" for ms in own) + " ms", flush=True)
            late += own
    if late:
        low, middle, high = np.percentile(late, (5, 50, 95))
        print(f"{len(late)} digits, behind their end: median {middle:.0f} ms, 5 to 95 %: {low:.0f} to {high:.0f} ms")


def live(recogniser: sc.Pipeline, sound: Samples, *, fast: bool) -> Iterator[Heard]:
    """Digits of a recording that is played at its own pace."""
    return listen(recogniser, _played(torch.from_numpy(sound), fast=fast))


def _played(sound: Tensor, *, fast: bool) -> Iterator[Tensor]:
    started, samples = time.perf_counter(), 0
    for chunk in sound.split(CHUNK):
        samples += len(chunk)
        ahead = samples / SAMPLE_RATE - (time.perf_counter() - started)
        if ahead > 0 and not fast:
            time.sleep(ahead)
        yield chunk


def load_sound(path: Path) -> Samples:
    """Any recording, mixed to one channel at 8 kHz.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        with AudioFile(path) as file:
            return np.concatenate(list(Waveform(file, sample_rate=SAMPLE_RATE).blocks()))
    except AudioError as error:
        raise ValueError(f"{path}: {error}") from None


if __name__ == "__main__":
    main()
