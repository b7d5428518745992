"""`speechconv stream`: sound on stdin -> frames on stdout, live."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from speechconv.audio.pcm import RAW_FORMATS
from speechconv.commands.options import add_command, add_pipeline_options, add_sound_options, chosen_pipeline
from speechconv.commands.output import print_result, say
from speechconv.commands.status import FAILED, OK

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from speechconv.audio.pipe import PcmReader
    from speechconv.audio.waveform import Waveform
    from speechconv.session import Session


def add(commands: Any) -> None:
    command = add_command(
        commands,
        "stream",
        run,
        "sound on stdin -> frames on stdout, live",
        "arecord -f S16_LE -r 16000 -t wav | speechconv stream --format text\n"
        "  ffmpeg -i talk.mp4 -f s16le -ac 1 -ar 16000 - | speechconv stream --raw s16le --rate 16000 > frames.f32",
    )
    command.description = (
        "Read a WAV stream (or --raw samples) from stdin; write each frame as soon as its last sample has arrived.\n"
        "The frames equal those of `speechconv extract`. Read them back by\n\n"
        "  numpy.fromfile('frames.f32', '<f4').reshape(-1, 80)  # 80: the channels, as `speechconv describe` tells them"
    )
    add_pipeline_options(command)
    command.add_argument("--raw", choices=RAW_FORMATS, metavar="FORMAT", help=f"no header: {', '.join(RAW_FORMATS)}")
    command.add_argument("--rate", type=int, metavar="HZ", help="sample rate of --raw samples")
    command.add_argument("--channels", type=int, metavar="N", help="channels of --raw samples (default: 1)")
    add_sound_options(command)
    command.add_argument(
        "--format",
        choices=("f32", "text"),
        default="f32",
        help="f32: rows of float32, little-endian; text: a line for each frame (default: f32)",
    )


def run(args: argparse.Namespace) -> int:
    from speechconv.audio.error import AudioError
    from speechconv.audio.waveform import Waveform
    from speechconv.extraction.pipelines import computes_in, named_pipeline, one_torch_thread
    from speechconv.extraction.rows import FeatureError, as_array, check_real_features, live

    _check_stream(args)
    encoded = {"f32": _f32, "text": _text}[args.format]
    pipe = named_pipeline(*chosen_pipeline(args), args.random_weights).fuse()
    check_real_features(pipe, *computes_in(pipe))
    session = pipe.stream()
    try:
        source = _source(args)
        waveform = Waveform(source, sample_rate=pipe.sample_rate, channel=args.channel, resample=args.resample)
        with one_torch_thread():
            for features in live(session, waveform.blocks()):
                print_result(encoded(as_array(features, "float32", session.num_frames - len(features))))
    except (AudioError, FeatureError) as error:
        say(f"speechconv stream: stdin {error}")
        return FAILED
    if source.leftover:
        say(f"speechconv stream: dropped the last {source.leftover} bytes, which are no whole sample.")
    seconds = waveform.num_samples / pipe.sample_rate
    say(f"speechconv stream: {session.num_frames} frames, {seconds:.1f} s of audio")
    return OK


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


def _rows(session: Session, waveform: Waveform) -> Iterator[NDArray[np.float32]]:
    """Block by block; the session is closed at the end."""
    from speechconv.extraction.rows import as_array

    for block in waveform.blocks():
        features = session.push(block)
        yield as_array(features, "float32", session.num_frames - len(features))
    features = session.close()
    yield as_array(features, "float32", session.num_frames - len(features))


def _f32(rows: NDArray[np.float32]) -> bytes:
    return rows.astype("<f4", copy=False).tobytes()


def _text(rows: NDArray[np.float32]) -> str:
    """The shortest digits that give back the same float32."""
    return "".join(f"{' '.join(row)}\n" for row in rows.astype(str))
