"""`speechconv extract`: sounds -> features with a manifest."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from speechconv.commands.options import (
    STORES,
    add_command,
    add_pipeline_options,
    add_shard_bytes,
    add_sound_options,
    chosen_pipeline,
)
from speechconv.commands.output import reader_may_go, say
from speechconv.commands.status import FAILED, OK

ARK_STDOUT = "ark:-"

OPTIONS = (
    *("random_weights", "cmvn", "channel", "resample", "min_duration", "max_duration", "segments", "allow_commands"),
    *("null_separated", "dtype", "jobs", "timeout", "engine", "device", "precision", "batch", "shard", "identity"),
)
"""That go to `extract` as they are."""
DESCRIPTION = """\
Write features of (frames, channels) for each sound into OUT, with:

  OUT/manifest.jsonl  a line for each: id, audio, num_samples, frames, path, sha256, ...
  OUT/errors.jsonl    a line for each input that failed, and why; it never stops the others
  OUT/skipped.jsonl   a line for each that --min-duration or --max-duration left out
  OUT/run.json        the recipe, versions, options and totals of the run

The same command again goes on from where it was stopped, tries what failed again, and does what is new. The bytes of
features do not depend on --jobs, --shard, --engine or restarts.

INPUT is a file, a folder (searched for wav, flac, ogg, mp3), a quoted glob, or a list: Kaldi's wav.scp (with segments
beside it) or data folder, JSON lines (audio_filepath, offset, duration), lhotse's recordings or cuts, CSV or TSV with a
path column, or - for a list of paths on stdin. How each was read is said on stderr.

exit status: 0 all good, 2 usage, 3 some inputs failed, 4 disk full, 130 Ctrl-C"""


def add(commands: Any) -> None:
    command = add_command(
        commands,
        "extract",
        run,
        "sounds -> features with a manifest",
        'speechconv extract recordings/ "more/*/*.flac" --output features --jobs 2 --set mel.n_mels=40\n'
        "  speechconv extract data/train --output fbank --pipeline kaldi-fbank --store kaldi --jobs 8\n"
        "  find . -name '*.wav' -print0 | speechconv extract -0 --output ark:- | copy-feats ark:- ark,t:-",
    )
    command.description = DESCRIPTION
    command.add_argument("inputs", nargs="*", metavar="INPUT", help="file, folder, quoted glob, list, or - for stdin")
    command.add_argument(
        "-o", "--output", required=True, metavar="OUT", help="folder for features and reports, or ark:- for stdout"
    )
    add_pipeline_options(command)
    command.add_argument(
        "--cmvn", metavar="FILE", help="normalise by the global statistics that `speechconv stats` wrote"
    )
    _add_inputs(command.add_argument_group("inputs"))
    _add_store(command.add_argument_group("what is stored"))
    _add_work(command.add_argument_group("work"))
    _add_resume(command.add_argument_group("going on"))


def _add_inputs(group: argparse._ArgumentGroup) -> None:
    add_sound_options(group, each=True)
    group.add_argument("--min-duration", type=float, default=0.0, metavar="S", help="skip sounds of fewer seconds")
    group.add_argument("--max-duration", type=float, metavar="S", help="skip sounds of more seconds")
    group.add_argument("--segments", metavar="FILE", help="Kaldi segments for a wav.scp; 'none' to use none")
    group.add_argument(
        "--allow-commands", action="store_true", help="run the commands that a wav.scp or lhotse's list holds"
    )
    group.add_argument("-0", dest="null_separated", action="store_true", help="- whose names end in NUL, not newline")


def _add_store(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--store", choices=STORES, default="npy", help="(default: npy, one OUT/ID.npy each)")
    group.add_argument("--dtype", choices=("float32", "float16"), default="float32", help="(default: float32)")
    add_shard_bytes(group)


def _add_work(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--jobs", type=int, default=1, metavar="N", help="worker processes (default: 1)")
    group.add_argument("--timeout", type=float, metavar="S", help="give an input up after so many seconds")
    group.add_argument("--engine", choices=("local", "ray"), default="local", help="ray: on a cluster (default: local)")
    group.add_argument("--device", default="auto", metavar="auto|cpu|cuda:N", help="(default: a GPU if there is one)")
    group.add_argument(
        "--precision", choices=("float32", "bfloat16", "float64"), help="compute in it (default: the pipeline's own)"
    )
    group.add_argument(
        "--batch", type=int, metavar="N", help="short sounds computed together (default: 1; on a GPU 16)"
    )
    group.add_argument(
        "--shard",
        metavar="I/N|auto",
        help="part I (from 0) of N of the inputs, for `speechconv merge`; auto: of Slurm's array or torchrun",
    )
    group.add_argument(
        "--progress",
        choices=("auto", "off", "json"),
        default="auto",
        help="on stderr: a bar if it is a terminal, or JSON lines (default: auto)",
    )


def _add_resume(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--identity",
        choices=("stat", "sha256"),
        default="stat",
        help="know an input again by its size and time, or by its content (default: stat)",
    )
    group.add_argument("--overwrite", action="store_true", help="forget the earlier run that OUT holds")
    group.add_argument(
        "--resume-mixed", action="store_true", help="keep features of other recipes that OUT holds beside the new ones"
    )


def run(args: argparse.Namespace) -> int:
    from speechconv.extraction import extract
    from speechconv.memory import keep_freed_memory
    from speechconv.stores.registry import store_named

    if args.null_separated and "-" not in args.inputs:
        args.inputs.append("-")
    if not args.inputs:
        raise ValueError("no input was named; expected files, folders, globs, lists, or - for a list on stdin.")
    source, overrides = chosen_pipeline(args)
    keep_freed_memory()
    options = {name: getattr(args, name) for name in OPTIONS}
    if args.output == ARK_STDOUT:
        store_named("kaldi").check(args.dtype)
        return _to_stdout(extract(args.inputs, source, overrides=overrides, progress=args.progress, **options))
    summary = extract(
        args.inputs,
        source,
        out=args.output,
        overrides=overrides,
        store=args.store,
        shard_bytes=args.shard_bytes,
        overwrite=args.overwrite,
        resume_mixed=args.resume_mixed,
        progress=args.progress,
        **options,
    )
    say(f"speechconv extract: {summary}")
    return summary.exit_status


def _to_stdout(items: Any) -> int:
    """A Kaldi archive of what gets done, for the next program in a pipe; what fails is said."""
    from speechconv.stores.kaldi_ark import ArkStream

    if sys.stdout is None:
        raise ValueError("stdout is closed; expected somewhere to write the archive to.")
    stream = ArkStream(sys.stdout.buffer)
    failed = 0
    for item in items:
        if item.features is not None:
            with reader_may_go():
                stream.write(item.id, item.features.numpy())
        elif hasattr(item.line, "message"):
            failed += 1
            say(f"speechconv extract: {item.line.audio}: {item.line.message}")
        else:
            say(f"speechconv extract: {item.line.audio}: skipped, {item.line.reason}")
    return FAILED if failed else OK
