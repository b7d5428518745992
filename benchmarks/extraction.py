"""Corpus extraction beside lhotse's command line: Kaldi's fbank of the same files, two jobs, one thread each.

    python -m benchmarks.extraction [--digits FSDD/recordings] [--repeats 3]

Wall seconds of the whole command, start-up included, and steady seconds: from the first feature file that is done to
the last. Both write a .npy per file with the same bands, frames and edges; the largest difference is printed. lhotse
gets its manifest ready made. Without --digits, 2,000 files of 0.2 to 0.8 s of noise at 8 kHz stand for them.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.timing import machine, markdown_table, versions

PACKAGES = ("torch", "numpy", "soundfile", "lhotse", "torchaudio")
CONFIG = """
feature_type: kaldi-fbank
sampling_rate: {rate}
num_filters: 80
low_freq: 20.0
high_freq: 0.0
frame_length: 0.025
frame_shift: 0.01
dither: 0.0
energy_floor: 1.1920928955078125e-07
snip_edges: false
window_type: povey
device: cpu
"""


@dataclass(frozen=True)
class Corpus:
    """Files of one sample rate."""

    name: str
    sounds: Path
    sample_rate: int

    def ours(self, out: Path) -> list[str]:
        rate = self.sample_rate
        values = {"sample_rate": rate, "win_length": rate // 40, "hop_length": rate // 100, "snip_edges": "false"}
        values["scale"] = 1.0  # lhotse leaves samples as they are, Kaldi scales them by 32768
        settings = [f"{'' if key == 'sample_rate' else 'kaldi_stft.'}{key}={value}" for key, value in values.items()]
        options = [part for setting in settings for part in ("--set", setting)]
        sounds = os.fspath(self.sounds)
        command = [sys.executable, "-m", "speechconv", "extract", sounds, "-o", os.fspath(out), "--jobs", "2"]
        return [*command, "--pipeline", "kaldi-fbank", *options]

    def lhotse(self, out: Path) -> list[str]:
        config, recordings = self._lhotse_files()
        program = os.fspath(Path(sys.executable).with_name("lhotse"))
        return [program, "feat", "extract", "-j", "2", "-f", os.fspath(config), os.fspath(recordings), os.fspath(out)]

    def _lhotse_files(self) -> tuple[Path, Path]:
        config, recordings = self.sounds.parent / f"{self.name}.yml", self.sounds.parent / f"{self.name}.jsonl"
        if not recordings.exists():
            config.write_text(CONFIG.format(rate=self.sample_rate))
            recordings.write_text(
                "".join(json.dumps(_recording(path)) + "\n" for path in sorted(self.sounds.iterdir()))
            )
        return config, recordings


def _recording(path: Path) -> dict[str, object]:
    info = soundfile.info(path)
    source = {"type": "file", "channels": [0], "source": os.fspath(path)}
    facts = {"sampling_rate": info.samplerate, "num_samples": info.frames, "duration": info.frames / info.samplerate}
    return {"id": path.stem, "sources": [source], **facts, "channel_ids": [0]}


def corpora(folder: Path, digits: Path | None) -> list[Corpus]:
    """2,000 digits at 8 kHz, 600 files of 1 to 10 s at 16 kHz."""
    sounds = folder / "digits"
    if digits is None:
        write_noise(sounds, 2000, (0.2, 0.8), 8000)
    else:
        sounds.symlink_to(digits.resolve())
    write_noise(folder / "long", 600, (1, 10), 16000)
    return [Corpus("digits", sounds, 8000), Corpus("long", folder / "long", 16000)]


def write_noise(folder: Path, files: int, seconds: tuple[float, float], sample_rate: int) -> None:
    """WAV files of 16 bits, of lengths drawn evenly."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(files):
        samples = random.standard_normal(int(random.uniform(*seconds) * sample_rate)) / 8
        soundfile.write(folder / f"{number:05d}.wav", samples, sample_rate)


def timed(command: Sequence[str], out: Path) -> tuple[float, float]:
    """(wall, steady) seconds of a command that leaves .npy files in `out`."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    started = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    ends = [path.stat().st_mtime_ns for path in out.rglob("*.npy")]
    return wall, (max(ends) - min(ends)) / 1e9


def largest_difference(ours: Path, lhotse: Path) -> float:
    """Of all features of both, which must be of the same shape."""
    with gzip.open(lhotse / "feature_manifest.json.gz", "rt") as file:
        ids = {line["recording_id"]: line for line in json.load(file)}
    largest = 0.0
    for line in map(json.loads, (ours / "manifest.jsonl").read_text().splitlines()):
        stored = ids[line["id"]]
        theirs = np.load(Path(stored["storage_path"]) / stored["storage_key"])
        own = np.load(ours / line["path"])
        if own.shape != theirs.shape:
            raise SystemExit(f"{line['id']}: shapes {own.shape} and {theirs.shape}; nothing to compare.")
        largest = max(largest, float(np.abs(own - theirs).max()))
    return largest


def compare(corpus: Corpus, folder: Path, repeats: int) -> list[Sequence[str]]:
    """Rows of the table; each round runs both, in turn."""
    taken: dict[str, list[tuple[float, float]]] = {"speechconv": [], "lhotse": []}
    for turn in range(repeats):
        outs = {name: folder / f"{corpus.name}-{name}-{turn}" for name in taken}
        taken["speechconv"].append(timed(corpus.ours(outs["speechconv"]), outs["speechconv"]))
        taken["lhotse"].append(timed(corpus.lhotse(outs["lhotse"]), outs["lhotse"]))
        if not turn:
            difference = largest_difference(outs["speechconv"], outs["lhotse"])
            print(f"{corpus.name}: largest difference {difference:.1e} (natural logarithm)")
    medians = {
        name: [statistics.median(column) for column in zip(*times, strict=True)] for name, times in taken.items()
    }
    ratios = [theirs / own for theirs, own in zip(medians["lhotse"], medians["speechconv"], strict=True)]
    rows = [(f"{corpus.name}, {name}", f"{wall:.2f}", f"{steady:.2f}") for name, (wall, steady) in medians.items()]
    return [*rows, (f"{corpus.name}, lhotse / speechconv", *(f"{ratio:.2f} x" for ratio in ratios))]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="extract beside lhotse's feat extract, two jobs each.")
    parser.add_argument("--digits", type=Path, help="folder of 2,000 recordings at 8 kHz, such as FSDD's recordings/")
    parser.add_argument("--repeats", type=int, default=3, help="rounds, of which the median counts (default: 3)")
    args = parser.parse_args(argv)
    print(machine())
    print(f"{versions(PACKAGES)}; OMP_NUM_THREADS=1, two jobs.\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [row for corpus in corpora(folder, args.digits) for row in compare(corpus, folder, args.repeats)]
    print("\n" + markdown_table(("files, program", "wall s", "steady s"), rows))


if __name__ == "__main__":
    main()
