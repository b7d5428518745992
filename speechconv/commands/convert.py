"""`speechconv convert`: features from one store to another."""

from __future__ import annotations

import argparse
from typing import Any

from speechconv.commands.options import STORES, add_command, add_shard_bytes
from speechconv.commands.output import reader_may_go, say
from speechconv.commands.status import OK


def add(commands: Any) -> None:
    command = add_command(
        commands,
        "convert",
        run,
        "features from one store to another, bit by bit",
        "speechconv convert features --output features-kaldi --store kaldi",
    )
    command.description = (
        "Write the features of DIR into another folder, in another store, and compare every sha256 on the way. The\n"
        "manifest keeps its lines with their new places; the reports are copied.\n\n"
        "  npy          a file for each id               numpy, lhotse\n"
        "  kaldi        ark, feats.scp, utt2num_frames   Kaldi, ESPnet, lhotse; float32 only\n"
        "  hdf5         a dataset for each id            h5py\n"
        "  tar          KEY.npy members                  webdataset\n"
        "  safetensors  a tensor for each id, an index   safetensors\n"
        "  parquet      id, frames, channels, features   pandas, Hugging Face datasets, Spark"
    )
    command.add_argument("folder", metavar="DIR", help="folder that extract, merge or convert wrote")
    command.add_argument(
        "-o", "--output", required=True, metavar="OUT", help="another folder; or ark:- for a Kaldi archive on stdout"
    )
    command.add_argument("--store", choices=STORES, help="kind of files; needed unless OUT is ark:-")
    command.add_argument(
        "--dtype", choices=("float32", "float16"), help="of the features (default: as they are); float16 rounds"
    )
    command.add_argument("--overwrite", action="store_true", help="forget the earlier run that OUT holds")
    add_shard_bytes(command)


def run(args: argparse.Namespace) -> int:
    from speechconv.stores.conversion import ARK_TO_STDOUT, convert

    to_stdout = args.output == ARK_TO_STDOUT
    if (args.store or "kaldi") != "kaldi" and to_stdout:
        raise ValueError(f"{ARK_TO_STDOUT} is a Kaldi archive; drop --store {args.store}, or give a folder for OUT.")
    if args.store is None and not to_stdout:
        raise ValueError(f"--store says which kind of files to write; give one of {', '.join(STORES)}.")
    with reader_may_go():
        count = convert(
            args.folder,
            args.output,
            store=args.store or "kaldi",
            dtype=args.dtype,
            overwrite=args.overwrite,
            shard_bytes=args.shard_bytes,
        )
    say(f"speechconv convert: {count:,} items to {args.output}")
    return OK
