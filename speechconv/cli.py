"""The command line: parse, call the library, print. Heavy libraries load in the command that needs them.

stdout: results. stderr: progress, warnings, one line of totals. Exit status: 0 all good, 2 usage, 3 some inputs failed,
4 disk full, 130 Ctrl-C. A reader that goes away (`| head`) ends a command quietly.
"""

from __future__ import annotations

import argparse
import os
import sys
import tomllib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from speechconv import __version__
from speechconv.audio.pcm import RAW_FORMATS
from speechconv.presets import preset_names

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from speechconv.audio.pipe import PcmReader
    from speechconv.pipeline import Pipeline

OK, USAGE, FAILED, INTERRUPTED = 0, 2, 3, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    parser = _parser()
    args = parser.parse_args(argv)
    name = f"{parser.prog} {args.command}"
    _occupy_standard_descriptors()
    try:
        return args.run(args)
    except _ReaderGone:
        return OK
    except KeyboardInterrupt as stop:
        _say(f"{name}: interrupted. {stop}".rstrip())
        return INTERRUPTED
    except (ValueError, TypeError, OSError, ImportError) as error:
        _say(f"{name}: {error}")
        return USAGE


def _occupy_standard_descriptors() -> None:
    """Of the descriptors 0, 1 and 2, those that are closed lead nowhere, lest the next file be taken for one."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def _extract(args: argparse.Namespace) -> int:
    from speechconv.extraction import extract

    source, overrides = _pipeline(args)
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
    _say(f"speechconv extract: {summary}")
    return summary.exit_status


def _stream(args: argparse.Namespace) -> int:
    from speechconv.audio.error import AudioError
    from speechconv.audio.waveform import Waveform
    from speechconv.extraction.pipelines import build_pipeline, one_torch_thread
    from speechconv.extraction.rows import FeatureError, feature_rows

    _check_stream(args)
    encoded = {"f32": _f32, "text": _text}[args.format]
    pipe = build_pipeline(*_pipeline(args), args.random_weights).fuse()
    session = pipe.stream()
    try:
        source = _source(args)
        waveform = Waveform(source, sample_rate=pipe.sample_rate, channel=args.channel, resample=args.resample)
        with one_torch_thread():
            for rows in feature_rows(session, waveform):
                _print(encoded(rows))
    except (AudioError, FeatureError) as error:
        _say(f"speechconv stream: stdin {error}")
        return FAILED
    if source.leftover:
        _say(f"speechconv stream: dropped the last {source.leftover} bytes, which are no whole sample.")
    seconds = waveform.num_samples / pipe.sample_rate
    _say(f"speechconv stream: {session.num_frames} frames, {seconds:.1f} s of audio")
    return OK


def _pipeline(args: argparse.Namespace) -> tuple[str | Pipeline, dict[str, Any]]:
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


def _check_stream(args: argparse.Namespace) -> None:
    if (args.raw is None) != (args.rate is None):
        raise ValueError("--raw and --rate go together: --raw s16le --rate 16000.")
    if args.raw is None and args.channels is not None:
        raise ValueError("--channels describes raw samples; a WAV stream tells its own.")
    if sys.stdin is None or sys.stdin.isatty():
        which = "a terminal" if sys.stdin else "closed"
        raise ValueError(f"expected sound on stdin, which is {which}; pipe it in: cat x.wav | speechconv stream.")


def _source(args: argparse.Namespace) -> PcmReader:
    from speechconv.audio.pipe import open_raw, open_wav

    descriptor = sys.stdin.fileno()
    if args.raw is None:
        return open_wav(descriptor)
    return open_raw(descriptor, args.raw, sample_rate=args.rate, channels=args.channels or 1)


def _f32(rows: NDArray[np.float32]) -> bytes:
    return rows.astype("<f4", copy=False).tobytes()


def _text(rows: NDArray[np.float32]) -> str:
    """The shortest digits that give back the same float32."""
    return "".join(f"{' '.join(row)}\n" for row in rows.astype(str))


def _presets(_: argparse.Namespace) -> int:
    presets = preset_names()
    width = max(map(len, presets))
    _print("".join(f"{name:<{width}}  {description}\n" for name, description in presets.items()))
    return OK


def _describe(args: argparse.Namespace) -> int:
    from speechconv.cost import describe
    from speechconv.pipeline import open_pipeline

    _print(f"{describe(open_pipeline(args.pipeline, dict(args.set)))}\n")
    return OK


class _ReaderGone(Exception):
    """Whoever read stdout has gone away; other pipes that break are faults."""


def _print(result: str | bytes) -> None:
    """A result to stdout, at once."""
    if sys.stdout is None:
        raise ValueError("stdout is closed; expected somewhere to write the result to.")
    try:
        if isinstance(result, bytes):
            sys.stdout.buffer.write(result)
        else:
            sys.stdout.write(result)
        sys.stdout.flush()
    except BrokenPipeError:
        _lead_nowhere(sys.stdout)
        raise _ReaderGone from None


def _say(line: str) -> None:
    """Talk to stderr; that nobody listens changes nothing."""
    if sys.stderr is None:
        return
    try:
        print(line, file=sys.stderr)
    except OSError:
        _lead_nowhere(sys.stderr)


def _lead_nowhere(stream: TextIO) -> None:
    """Python flushes once more at exit, and would fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with a command line in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="speechconv",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="From raw waveform to frame features with convolutions, offline and live with the same answer.",
        epilog="exit status: 0 all good, 2 usage, 3 some inputs failed, 4 disk full, 130 Ctrl-C\n\n"
        "example:\n  speechconv extract recordings/ --output features --jobs 2",
    )
    parser.add_argument("--version", action="version", version=f"speechconv {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    _add_extract(commands)
    _add_stream(commands)
    command = _add(commands, "presets", _presets, "list the ready-made pipelines", "speechconv presets")
    command.description = "Every ready-made pipeline with one line about it; --pipeline takes its name."
    _add_describe(commands)
    return parser


def _add_extract(commands: Any) -> None:
    command = _add(
        commands,
        "extract",
        _extract,
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
    _add_pipeline_options(command)
    command.add_argument("--jobs", type=int, default=1, metavar="N", help="worker processes (default: 1)")
    _add_sound_options(command)
    command.add_argument("--overwrite", action="store_true", help="forget the earlier run that OUT holds")


def _add_stream(commands: Any) -> None:
    command = _add(
        commands,
        "stream",
        _stream,
        "sound on stdin -> frames on stdout, live",
        "arecord -f S16_LE -r 16000 -t wav | speechconv stream --format text\n"
        "  ffmpeg -i talk.mp4 -f s16le -ac 1 -ar 16000 - | speechconv stream --raw s16le --rate 16000 > frames.f32",
    )
    command.description = (
        "Read a WAV stream (or --raw samples) from stdin; write each frame as soon as its last sample has arrived.\n"
        "The frames equal those of `speechconv extract`. Read them back by\n\n"
        "  numpy.fromfile('frames.f32', '<f4').reshape(-1, 80)  # 80: the channels, as `speechconv describe` tells them"
    )
    _add_pipeline_options(command)
    command.add_argument("--raw", choices=RAW_FORMATS, metavar="FORMAT", help=f"no header: {', '.join(RAW_FORMATS)}")
    command.add_argument("--rate", type=int, metavar="HZ", help="sample rate of --raw samples")
    command.add_argument("--channels", type=int, metavar="N", help="channels of --raw samples (default: 1)")
    _add_sound_options(command)
    command.add_argument(
        "--format",
        choices=("f32", "text"),
        default="f32",
        help="f32: rows of float32, little-endian; text: a line for each frame (default: f32)",
    )


def _add_describe(commands: Any) -> None:
    command = _add(
        commands,
        "describe",
        _describe,
        "what a pipeline is made of, stage by stage",
        "speechconv describe logmel --set mel.n_mels=40",
    )
    command.description = (
        "Shapes, parameters, stride, receptive field and lookahead (samples and ms) of each stage, for 1 s of sound."
    )
    command.add_argument("pipeline", metavar="PIPELINE", help="preset name, .toml or .safetensors file")
    _add_set(command)


def _add(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], help: str, example: str
) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name, help=help, formatter_class=argparse.RawDescriptionHelpFormatter, epilog=f"example:\n  {example}"
    )
    command.set_defaults(run=run)
    return command


def _add_pipeline_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--pipeline",
        metavar="NAME|FILE",
        help="preset name, .toml or .safetensors file (default: logmel; with --weights: what they are made for)",
    )
    _add_set(command)
    command.add_argument(
        "--weights",
        metavar="FILE|FOLDER|HUB-NAME",
        help="a wav2vec 2.0 or HuBERT checkpoint of transformers, torchaudio or fairseq: .safetensors, .pt, a folder "
        "with config.json, or a name such as facebook/wav2vec2-base; gives the input of its Transformer",
    )
    command.add_argument(
        "--random-weights", type=int, metavar="SEED", help="allow a pipeline without weights of its own, drawn by SEED"
    )


def _add_set(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--set",
        action="append",
        default=[],
        type=_setting,
        metavar="KEY=VALUE",
        help="another value for a preset's key, such as sample_rate=8000 (Hz) or mel.n_mels=40; may be repeated",
    )


def _add_sound_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--channel",
        type=_channel,
        default="mix",
        metavar="mix|N",
        help="mean of all channels, or one of them counted from 0 (default: mix)",
    )
    command.add_argument(
        "--resample",
        choices=("auto", "error"),
        default="auto",
        help="another sample rate than the pipeline's: resample it, or refuse it (default: auto)",
    )


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


def _channel(text: str) -> int | str:
    if text == "mix" or text.isdecimal():
        return text if text == "mix" else int(text)
    raise argparse.ArgumentTypeError(f"expected 'mix' or a number counted from 0, got {text!r}")
