"""Options that several commands take, and what they mean."""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from speechconv.pipeline import Pipeline

STORES = ("npy", "kaldi", "hdf5", "tar", "safetensors", "parquet")
"""As `speechconv.stores.registry` names them; it imports numpy, which --help need not wait for."""


def add_command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], help: str, example: str
) -> argparse.ArgumentParser:
    """A command that explains itself with an example; `run` gives its exit status."""
    command = commands.add_parser(
        name, help=help, formatter_class=argparse.RawDescriptionHelpFormatter, epilog=f"example:\n  {example}"
    )
    command.set_defaults(run=run)
    return command


def add_pipeline_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--pipeline",
        metavar="NAME|FILE|RUN",
        help="preset name, .toml or .safetensors file, or a training run's folder (default: logmel; with --weights: "
        "what they are made for)",
    )
    add_set(command)
    command.add_argument(
        "--weights",
        metavar="FILE|FOLDER|HUB-NAME",
        help="a wav2vec 2.0 or HuBERT checkpoint of transformers, torchaudio or fairseq: .safetensors, .pt, a folder "
        "with config.json, or a name such as facebook/wav2vec2-base; gives the input of its Transformer",
    )
    command.add_argument(
        "--random-weights", type=int, metavar="SEED", help="allow a pipeline without weights of its own, drawn by SEED"
    )


def add_set(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--set",
        action="append",
        default=[],
        type=_setting,
        metavar="KEY=VALUE",
        help="another value for a preset's key, such as sample_rate=8000 (Hz) or mel.n_mels=40; may be repeated",
    )


def add_sound_options(command: argparse._ActionsContainer, *, each: bool = False) -> None:
    """Options about the sound itself; `each` allows to take every channel for itself."""
    command.add_argument(
        "--channel",
        type=_channel_or_each if each else _channel,
        default="mix",
        metavar="mix|N|each" if each else "mix|N",
        help="mean of all channels, or one of them counted from 0" + (", or each" if each else "") + " (default: mix)",
    )
    command.add_argument(
        "--resample",
        choices=("auto", "error"),
        default="auto",
        help="another sample rate than the pipeline's: resample it, or refuse it (default: auto)",
    )


def add_shard_bytes(command: argparse._ActionsContainer) -> None:
    command.add_argument(
        "--shard-bytes",
        type=_number_of_bytes,
        default=256 << 20,
        metavar="N",
        help="features in a file of the stores other than npy, at most, such as 64M (default: 256M)",
    )


def chosen_pipeline(args: argparse.Namespace) -> tuple[str | Pipeline, dict[str, Any]]:
    """The pipeline that the options name, and the values to build it with; --weights builds it here."""
    overrides = dict(args.set)
    if args.weights is None:
        return args.pipeline or "logmel", overrides
    from speechconv.adapters import huggingface
    from speechconv.pipeline import open_pipeline

    if args.random_weights is not None:
        raise ValueError("--weights and --random-weights are two answers to one question; give one of them.")
    if args.pipeline is None:
        if overrides:
            raise ValueError("--set changes a preset's values; name the preset by --pipeline, or drop --set.")
        return huggingface.load(args.weights), {}
    pipe = open_pipeline(args.pipeline, overrides)
    huggingface.load_into(pipe, args.weights)
    return pipe, {}


def _setting(text: str) -> tuple[str, Any]:
    """("mel.n_mels", 40) of "mel.n_mels=40": the value is TOML, or else the text itself.

    >>> _setting("mel.n_mels=40"), _setting("stft.window=hamming")
    (('mel.n_mels', 40), ('stft.window', 'hamming'))
    """
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"expected KEY=VALUE, got {text!r}")
    if value.strip() in ("True", "False", "None"):
        raise argparse.ArgumentTypeError(f"{text} is Python's word; expected TOML's true or false, or \"none\"")
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key, value


def _channel(text: str, words: str = "'mix'") -> int | str:
    if text == "mix" or text.isdecimal():
        return text if text == "mix" else int(text)
    raise argparse.ArgumentTypeError(f"expected {words} or a number counted from 0, got {text!r}")


def _channel_or_each(text: str) -> int | str:
    return text if text == "each" else _channel(text, "'mix', 'each'")


def _number_of_bytes(text: str) -> int:
    """256M -> 268435456; k, M and G are powers of 1024.

    >>> _number_of_bytes("64k")
    65536
    """
    units = {"k": 1 << 10, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    digits, unit = (text[:-1], units[text[-1]]) if text and text[-1] in units else (text, 1)
    if not digits.isdecimal() or not int(digits):
        raise argparse.ArgumentTypeError(f"expected a number of bytes such as 64M, got {text!r}")
    return int(digits) * unit
