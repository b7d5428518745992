"""`speechconv verify`: learned filters against the STFT."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechconv.checks import check_number
from speechconv.commands.options import add_command
from speechconv.commands.output import print_result, say
from speechconv.commands.status import BEYOND, OK

if TYPE_CHECKING:
    from speechconv.pipeline import Pipeline
    from speechconv.verification.answers import Verification


def add(commands: Any) -> None:
    command = add_command(
        commands,
        "verify",
        run,
        "learned filters against the STFT: what they are, how far they went, what they lose",
        "speechconv verify trained.safetensors --report report.html\n"
        "  speechconv verify model.pt --tensor encoder.conv.weight --sample-rate 8000 --hop 80\n"
        "  speechconv verify model.onnx --reference stft:window=hann --max drift.total=0.1 --max bank.kappa=10",
    )
    command.description = (
        "Measure filters: is it an STFT, how far from one, what is each filter, what is the bank as a whole.\n\n"
        "WEIGHTS is a saved pipeline, a preset or a .toml; .safetensors, .pt, .pth, .bin, .ckpt, TorchScript\n"
        "or .onnx of any model (nothing in the file is run); or a wav2vec 2.0 checkpoint or its folder, which is\n"
        "probed with sound. Several tensors that may be the filters are listed, to choose one by --tensor.\n\n"
        "exit status: 0 within every --max and --min (or none given), 1 beyond one, 2 unreadable, with the reason"
    )
    command.add_argument("weights", metavar="WEIGHTS", help="the file with the filters, or a training run's folder")
    command.add_argument(
        "--tensor", metavar="NAME", help="which tensor; REAL,IMAG for two (default: the one that looks like filters)"
    )
    command.add_argument(
        "--layout",
        choices=("stacked", "interleaved", "separate", "real"),
        help="stacked: all real parts, then all imaginary ones; interleaved: row by row; separate: two tensors; "
        "real: no pairs (default: by evidence)",
    )
    command.add_argument(
        "--sample-rate", type=int, metavar="HZ", help="of the sound (default: the pipeline's, else 16000)"
    )
    command.add_argument(
        "--hop",
        type=int,
        metavar="N",
        help="samples between frames (default: what the file tells; frame bounds need it)",
    )
    command.add_argument(
        "--reference",
        metavar="stft:KEY=VALUE,...|FILE",
        help="compare with this STFT (n_fft, hop_length, win_length, window, periodic) or the filters of that file",
    )
    command.add_argument("--audio", metavar="FILE", help="also compare what both make of this sound, in dB")
    command.add_argument("--report", metavar="OUT.html", help="write all of it as one page, with pictures")
    command.add_argument("--json", metavar="OUT.json|-", help="write all of it as JSON; - instead of the summary")
    command.add_argument(
        "--max",
        action="append",
        default=[],
        type=_limit,
        metavar="NAME=VALUE",
        help="exit 1 if this number of the JSON is above VALUE: stft.rho=1e-6, bank.kappa=3; may be repeated",
    )
    command.add_argument(
        "--min",
        action="append",
        default=[],
        type=_limit,
        metavar="NAME=VALUE",
        help="exit 1 if it is below VALUE: bank.A=0.1, bank.effective_rank=100; may be repeated",
    )


def run(args: argparse.Namespace) -> int:
    from speechconv.pages.document import check_output
    from speechconv.verification.verifier import verify

    for path in (args.report, args.json):
        if path not in (None, "-"):
            check_output(path)
    verification = verify(
        _weights(args),
        tensor=args.tensor,
        layout=args.layout,
        sample_rate=args.sample_rate,
        hop_length=args.hop,
        reference=args.reference,
        audio=args.audio,
        thresholds=dict(args.max),
        minima=dict(args.min),
        report=args.report,
        name=args.weights,
    )
    text = json.dumps(verification.to_json(), indent=2) + "\n"
    if args.json not in (None, "-"):
        Path(args.json).write_text(text, "utf-8")
    print_result(text if args.json == "-" else "\n".join(summary(verification)) + "\n")
    for check in verification.checks:
        if not check.passed:
            side = "below" if check.at_least else "beyond"
            found = "was not measured, which counts as" if check.value is None else f"is {_number(check.value)},"
            say(f"speechconv verify: {check.name} {found} {side} {_number(check.limit)}.")
    return OK if verification.passed else BEYOND


def _weights(args: argparse.Namespace) -> str | Pipeline:
    """The file, or the pipeline that it or a checkpoint of others stands for."""
    from speechconv.verification.sources import is_encoder_checkpoint, pipeline_in

    pipe = pipeline_in(args.weights)
    if pipe is not None:
        return pipe
    if args.tensor is None and is_encoder_checkpoint(args.weights):
        from speechconv.adapters import huggingface

        return huggingface.load(args.weights)
    return args.weights


def summary(verification: Verification) -> Iterator[str]:
    """The verdict, then a line for each headline number."""
    v = verification
    yield v.verdict
    yield ""
    rate = f"{v.sample_rate} Hz" + (" (assumed; --sample-rate tells)" if v.sample_rate_assumed else "")
    yield from (f"{name:<26} {value}" for name, value in (("source", v.source), *_named(v), ("sample rate", rate)))
    for name, value, meaning in _headlines(v):
        yield f"{name:<26} {_number(value):<12} {meaning}".rstrip()
    for check in v.checks:
        side = "at least" if check.at_least else "at most"
        outcome = "" if check.passed else "  FAIL"
        yield f"{check.name:<26} {_number(check.value):<12} {side} {_number(check.limit)}{outcome}"


def _named(v: Verification) -> Iterator[tuple[str, str]]:
    if v.tensor:
        yield "tensor", f"{v.tensor} ({v.layout})"


def _headlines(v: Verification) -> Iterator[tuple[str, float | None, str]]:
    """(name in the JSON, value, what it means)."""
    if v.stft:
        yield "stft.rho", v.stft.rho, "0: an STFT; its root is the relative distance from one"
    if v.drift:
        yield "drift.total", v.drift.total, f"relative change from {v.drift.reference}"
    if v.bank:
        if v.bank.hop_length is None:
            yield "bank.kappa", None, "frame bounds need the hop: --hop N"
        else:
            yield "bank.kappa", v.bank.kappa, f"B / A of the frame bounds at hop {v.bank.hop_length}; 1: loses nothing"
            if v.bank.kappa_two_sided is not None:
                yield "bank.kappa_two_sided", v.bank.kappa_two_sided, "the same, the inner pairs counted twice"
            yield "bank.aliasing", v.bank.aliasing, ""
            yield "bank.reconstruction_error", v.bank.reconstruction_error, "through the dual"
        yield "bank.coherence", v.bank.coherence, "largest likeness of two rows"
        yield "bank.effective_rank", v.bank.effective_rank, f"of {min(v.bank.rows, v.bank.taps)}"
    if v.pairs:
        yield "pairs.analyticity", v.pairs.analyticity, f"0: analytic, 1: real; {v.pairs.verdict}"
    if v.scales:
        yield (
            f"scales.residual.{v.scales.best}",
            v.scales.residual[v.scales.best],
            "the scale on which the peaks lie best",
        )
    if v.sound:
        yield "sound.mean_db", v.sound.mean_db, f"at most {v.sound.max_db:.3g} dB, on {v.sound.audio}"
    if v.probe:
        yield "probe.receptive_field", v.probe.receptive_field, "samples"
        yield "probe.stride", v.probe.stride, "samples"
        yield "probe.time_resolution_ms", v.probe.time_resolution_ms, "ms"


def _number(value: float | None) -> str:
    return "-" if value is None else str(value) if isinstance(value, int) else f"{value:.4g}"


def _limit(text: str) -> tuple[str, float]:
    """("bank.kappa", 3.0) of "bank.kappa=3"."""
    name, _, value = text.partition("=")
    try:
        return name.strip(), check_number(name, float(value))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE such as bank.kappa=3, got {text!r}") from None
