"""`speechconv extract`: sound files -> feature files with a manifest."""

from __future__ import annotations

import argparse
from typing import Any

from speechconv.commands.options import add_command, add_pipeline_options, add_sound_options, chosen_pipeline
from speechconv.commands.output import say


def add(commands: Any) -> None:
    command = add_command(
        commands,
        "extract",
        run,
        "sound files -> feature files with a manifest",
        'speechconv extract recordings/ "more/*/*.flac" --output features --jobs 2 --set mel.n_mels=40',
    )
    command.description = (
        "Write one OUT/ID.npy of (frames, channels) float32 for each sound, mirroring the input tree, with:\n\n"
        "  OUT/manifest.jsonl  a line for each feature file: id, audio, num_samples, frames, sha256, ...\n"
        "  OUT/errors.jsonl    a line for each input that failed, and why; it never stops the others\n"
        "  OUT/run.json        the pipeline, versions, options and totals of the run\n\n"
        "Files are read block by block, whatever their length. A pipeline that cannot stream (whisper, librosa-mfcc)\n"
        "takes each file whole, and memory grows with its length."
    )
    command.add_argument(
        "inputs", nargs="+", metavar="INPUT", help="file, folder (searched for wav, flac, ogg, mp3) or quoted glob"
    )
    command.add_argument("-o", "--output", required=True, metavar="OUT", help="folder for features and reports")
    add_pipeline_options(command)
    command.add_argument("--jobs", type=int, default=1, metavar="N", help="worker processes (default: 1)")
    add_sound_options(command)
    command.add_argument("--overwrite", action="store_true", help="forget the earlier run that OUT holds")


def run(args: argparse.Namespace) -> int:
    from speechconv.extraction import extract

    source, overrides = chosen_pipeline(args)
    summary = extract(
        args.inputs,
        args.output,
        pipeline=source,
        overrides=overrides,
        jobs=args.jobs,
        channel=args.channel,
        resample=args.resample,
        overwrite=args.overwrite,
        random_weights=args.random_weights,
        progress=True,
    )
    say(f"speechconv extract: {summary}")
    return summary.exit_status
