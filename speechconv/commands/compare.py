"""`speechconv compare`: features against librosa's, with a picture."""

from __future__ import annotations

import argparse
import glob
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechconv.commands.options import add_command, add_set, add_sound_options
from speechconv.commands.output import print_result, say
from speechconv.commands.status import BEYOND, FAILED, OK

if TYPE_CHECKING:
    from speechconv.comparison import Comparison
    from speechconv.pipeline import Pipeline

COLUMNS = ("file", "frames", "channels", "max/peak", "rel. L2", "max dB", "rms dB", "worst s", "frame", "bin", "Hz")


def add(commands: Any) -> None:
    command = add_command(
        commands,
        "compare",
        run,
        "features against librosa's, with a picture",
        "speechconv compare talk.wav --pipeline logmel --set mel.n_mels=40 --plot difference.png",
    )
    command.description = (
        "Features of each file beside those that librosa, told the same settings, computes in float64.\n\n"
        "  max/peak  largest difference, of librosa's largest value; of log features, that of the power or amplitude\n"
        "            below the logarithm. This is held against --tolerance\n"
        "  rel. L2   norm of the difference, of the norm of librosa's features\n"
        "  max dB    largest difference of level where librosa's lies within 70 dB of its peak, of log features held\n"
        "            against --tolerance-db; rms dB: its root mean square\n"
        "  worst s   the middle of the frame where max/peak is reached; frame and bin count from 0\n\n"
        "Exit status: 0 all within the tolerance, 1 some beyond it, 2 a stage that librosa has no equal for (or wrong\n"
        "usage), 3 some file could not be compared."
    )
    command.add_argument(
        "files", nargs="+", metavar="FILE", help="sound file (wav, flac, ogg, mp3), folder of them, or quoted glob"
    )
    command.add_argument(
        "--pipeline", default="logmel", metavar="NAME|FILE", help="preset name, .toml or .safetensors (default: logmel)"
    )
    add_set(command)
    command.add_argument("--against", choices=("librosa",), default="librosa", help="whose features (default: librosa)")
    command.add_argument(
        "--tolerance", type=float, default=1e-5, metavar="SHARE", help="largest max/peak that passes (default: 1e-5)"
    )
    command.add_argument(
        "--tolerance-db", type=float, default=0.01, metavar="DB", help="of log features, largest max dB (default: 0.01)"
    )
    command.add_argument(
        "--dtype", choices=("float32", "float64"), default="float32", help="our side's type (default: float32)"
    )
    add_sound_options(command)
    command.add_argument("--json", action="store_true", help="one JSON object a line instead of the table")
    command.add_argument(
        "--plot",
        type=Path,
        metavar="OUT.png",
        help="a picture of both and their difference; of several files one each, OUT-STEM.png",
    )


def run(args: argparse.Namespace) -> int:
    import torch

    from speechconv.audio.error import AudioError
    from speechconv.comparison.engine import comparable

    files = list(_files(args.files))
    plots = _plot_files(files, args.plot)
    pipe = comparable(
        args.pipeline,
        against=args.against,
        overrides=dict(args.set),
        tolerance=args.tolerance,
        dtype=getattr(torch, args.dtype),
    )
    found: list[tuple[str, Comparison]] = []
    failed = False
    for name, plot in zip(files, plots, strict=True):
        try:
            result = _compare(name, pipe, args)
        except ValueError as error:  # an AudioError goes on where the file's name ends
            failed = True
            say(f"speechconv compare: {name}{'' if isinstance(error, AudioError) else ':'} {error}")
            continue
        found.append((name, result))
        if args.json:
            print_result(json.dumps({"file": name} | json.loads(result.to_json())) + "\n")
        if plot is not None:
            from speechconv.comparison.plot import save_plot

            save_plot(result, plot, title=Path(name).name)
    if found and not args.json:
        print_result(_table(found))
    beyond = sum(not result.passed for _, result in found)
    say(
        f"speechconv compare: {len(found) - beyond} of {len(files)} within {args.tolerance:g} of the peak"
        f"{f', {beyond} beyond' if beyond else ''}{f', {len(files) - len(found)} not compared' if failed else ''}"
    )
    return FAILED if failed else BEYOND if beyond else OK


def _compare(name: str, pipe: Pipeline, args: argparse.Namespace) -> Comparison:
    import numpy as np
    import torch

    from speechconv.audio.files import AudioFile
    from speechconv.audio.waveform import Waveform
    from speechconv.comparison.engine import compare

    with AudioFile(name) as sound:
        waveform = Waveform(sound, sample_rate=pipe.sample_rate, channel=args.channel, resample=args.resample)
        wav = np.concatenate([*waveform.blocks(), np.zeros(0, np.float32)])
    return compare(
        wav,
        pipe.sample_rate,
        pipeline=pipe,
        against=args.against,
        tolerance=args.tolerance,
        tolerance_db=args.tolerance_db,
        dtype=getattr(torch, args.dtype),
    )


def _files(named: list[str]) -> Iterator[str]:
    """The files that are named, and those that folders and globs stand for, as `extract` finds them."""
    from speechconv.extraction.inputs import find_inputs

    for name in named:
        if os.path.isdir(name) or (glob.has_magic(name) and not os.path.lexists(name)):
            yield from (item.audio for item in find_inputs([name]).items if item.problem is None)
        else:
            yield name


def _plot_files(files: list[str], plot: Path | None) -> list[Path | None]:
    """A picture for each file: `plot` itself for one; OUT-STEM.png for several, numbered where stems are the same.

    >>> [path.name for path in _plot_files(["a/x.wav", "b/x.wav", "y.wav"], Path("out.png")) if path]
    ['out-x.png', 'out-x-2.png', 'out-y.png']
    """
    if plot is None:
        return [None] * len(files)
    if plot.suffix != ".png":
        raise ValueError(f"--plot (={plot}) must end in .png.")
    if not plot.parent.is_dir():
        raise ValueError(f"no folder {plot.parent} to write {plot.name} in; make it first.")
    if len(files) == 1:
        return [plot]
    times: Counter[str] = Counter()
    paths: list[Path | None] = []
    for name in files:
        stem = Path(name).stem
        times[stem] += 1
        number = f"-{times[stem]}" if times[stem] > 1 else ""
        paths.append(plot.with_name(f"{plot.stem}-{stem}{number}.png"))
    return paths


def _table(found: list[tuple[str, Comparison]]) -> str:
    """Columns wide enough for what they hold, numbers to the right."""
    rows = [(*COLUMNS, "verdict")] + [(name, *_cells(result)) for name, result in found]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *rest in rows:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))]
        lines.append("  ".join(cells) + "\n")
    return "".join(lines)


def _cells(result: Comparison) -> list[str]:
    decibels = ["-" if value is None else f"{value:.1e}" for value in (result.max_db, result.rms_db)]
    return [
        str(result.frames),
        str(result.channels),
        f"{result.max_abs:.1e}",
        f"{result.relative_l2:.1e}",
        *decibels,
        f"{result.worst_seconds:.3f}",
        str(result.worst_frame),
        str(result.worst_bin),
        "-" if result.worst_hz is None else f"{result.worst_hz:.0f}",
        "ok" if result.passed else "BEYOND",
    ]
