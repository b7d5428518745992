"""The wav2vec 2.0 feature encoder: transformers, torchaudio and speechconv, beside the speed of a matrix product.

    python -m benchmarks.encoder [--seconds 10] [--repeats 9] [--threads 1 2] [--norms layer group]
                                 [--dtypes float32 bfloat16]

All hold the same random weights and give the same frames (checked first). The share is of the speed at which this
machine multiplies (1600, 1536) by (1536, 512), the largest product in a tile, timed in the same rounds.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from threadpoolctl import threadpool_limits
from torch import Tensor
from torchaudio.models.wav2vec2.components import _get_feature_extractor
from transformers import Wav2Vec2Config
from transformers.models.wav2vec2.modeling_wav2vec2 import Wav2Vec2FeatureEncoder

import speechconv as sc
from benchmarks.timing import machine, markdown_table, time_in_turn, versions
from speechconv.frontend.wav2vec2 import KERNEL_SIZES, STRIDES, Norm

SAMPLE_RATE, CHANNELS = 16000, 512
TOLERANCE = {"float32": 1e-5, "bfloat16": 0.05}  # of the largest value; bfloat16 holds three digits at most
PACKAGES = ("torch", "torchaudio", "transformers")
PEERS, OURS, GEMM = ("transformers", "torchaudio"), "speechconv", "matrix product"
PRODUCT = (1600, 1536, 512)
GEMMS = 20  # products a round, so that it takes as long as the others

Encoder = Callable[[Tensor], Tensor]


def encoders(norm: Norm, dtype: torch.dtype) -> dict[str, Encoder]:
    """Everyone's encoder with the same weights; frames last but one, channels last."""
    bias = norm == "layer"
    theirs = Wav2Vec2FeatureEncoder(Wav2Vec2Config(feat_extract_norm=norm, conv_bias=bias))
    ours = sc.FeatureEncoder(norm=norm, bias=bias)
    audio = _get_feature_extractor(
        f"{norm}_norm", [(CHANNELS, k, s) for k, s in zip(KERNEL_SIZES, STRIDES, strict=True)], bias
    )
    for net in (theirs, audio):
        net.load_state_dict(ours.state_dict())
    for net in (theirs, audio, ours):
        net.to(dtype).eval()
    return {PEERS[0]: lambda x: theirs(x).mT, PEERS[1]: lambda x: audio(x, None)[0], OURS: ours}


def flops(samples: int) -> int:
    """Multiplications and additions of all seven convolutions."""
    total, frames, width = 0, samples, 1
    for kernel_size, stride in zip(KERNEL_SIZES, STRIDES, strict=True):
        frames = (frames - kernel_size) // stride + 1
        total += 2 * frames * kernel_size * width * CHANNELS
        width = CHANNELS
    return total


def check_agreement(functions: Mapping[str, Encoder], wav: Tensor, name: str) -> None:
    """SystemExit unless all give the same frames."""
    expected = functions[PEERS[0]](wav).float()
    for who, encode in functions.items():
        off = float((encode(wav).float() - expected).abs().max() / expected.abs().max())
        if off > TOLERANCE[name]:
            raise SystemExit(f"{who} is {off:.1e} of the largest value away from {PEERS[0]}; nothing was timed.")


def table(norm: Norm, name: str, *, seconds: float, threads: int, repeats: int) -> str:
    """Median times of one signal, speeds against the faster peer, and shares of the product's speed."""
    dtype = getattr(torch, name)
    wav = (0.1 * torch.randn(1, round(seconds * SAMPLE_RATE), generator=torch.Generator().manual_seed(0))).to(dtype)
    functions = encoders(norm, dtype)
    check_agreement(functions, wav, name)
    rows_, inner, columns = PRODUCT
    a, b = torch.randn(rows_, inner).to(dtype), torch.randn(columns, inner).to(dtype)
    works: dict[str, Callable[[], object]] = {
        who: lambda encode=encode: encode(wav) for who, encode in functions.items()
    }
    works[GEMM] = lambda: [F.linear(a, b) for _ in range(GEMMS)]
    taken = time_in_turn(works, repeats=repeats)
    gemm = 2 * rows_ * inner * columns * GEMMS / taken.pop(GEMM)
    peer = min(taken[who] for who in PEERS)
    speed = {who: flops(wav.shape[1]) / taken[who] for who in taken}
    lines = [
        (
            who,
            f"{1000 * taken[who]:.0f}",
            f"{peer / taken[who]:.2f}",
            f"{speed[who] / 1e9:.0f}",
            f"{speed[who] / gemm:.0%}",
        )
        for who in taken
    ]
    title = f"{norm} norm, {name}, {seconds:g} s, {threads} thread{'s' * (threads > 1)}"
    headings = (title, "median ms", "times the faster peer's speed", "GFLOP/s", f"of the product's {gemm / 1e9:.0f}")
    return markdown_table(headings, lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.encoder", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="of the signal")
    parser.add_argument("--repeats", type=int, default=9, help="rounds that are timed")
    parser.add_argument("--threads", type=int, nargs="+", default=[2, 1], help="thread counts")
    parser.add_argument("--norms", nargs="+", default=["layer", "group"], choices=("layer", "group"))
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"], choices=("float32", "bfloat16"))
    chosen = parser.parse_args(arguments)
    print(f"{machine()}\n{versions(PACKAGES)}")
    for threads in chosen.threads:
        torch.set_num_threads(threads)
        with threadpool_limits(threads), torch.inference_mode():
            for norm in chosen.norms:
                for name in chosen.dtypes:
                    lines = table(norm, name, seconds=chosen.seconds, threads=threads, repeats=chosen.repeats)
                    print(f"\n{lines}", flush=True)


if __name__ == "__main__":
    main()
