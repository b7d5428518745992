"""The encoders of the families: the share of the wav2vec 2.0 encoder's cost that each is named for, in time.

    python -m benchmarks.budgets [--seconds 10] [--repeats 21] [--threads 1 2] [--forms plain causal]

All are speechconv's own: the wav2vec 2.0 encoder as `benchmarks.encoder` times it, and the presets fused, as one uses
them. Multiply-adds are the cost sheet's.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

import speechconv as sc
from benchmarks.timing import machine, markdown_table, time_in_turn, versions

SAMPLE_RATE = 16000
PRESETS = tuple(f"{family}-{share}" for family in ("separable", "shuffle", "inverted-residual") for share in (10, 5, 1))
FORMS = {"plain": "", "causal": "-causal"}
WHOLE = "wav2vec 2.0 encoder"


def encoders(form: str) -> Mapping[str, nn.Module]:
    """The whole, then the presets; weights are random."""
    torch.manual_seed(0)
    whole = sc.FeatureEncoder(norm="layer", bias=True).eval()
    return {WHOLE: whole} | {name: sc.Pipeline.from_preset(name + FORMS[form]).fuse() for name in PRESETS}


def rates(form: str) -> dict[str, float]:
    """Multiply-adds a second of each, before fusing."""
    layers: Mapping[str, sc.Sequential | sc.FeatureEncoder] = {WHOLE: sc.FeatureEncoder(norm="layer")} | {
        name: sc.Pipeline.from_preset(name + FORMS[form]) for name in PRESETS
    }
    sheets = {name: sc.describe(layer, sample_rate=SAMPLE_RATE) for name, layer in layers.items()}
    return {name: sheet.total.multiply_adds_per_second or 0.0 for name, sheet in sheets.items()}


def table(form: str, *, seconds: float, threads: int, repeats: int) -> str:
    """Median times of one signal, and shares of the whole's."""
    wav = 0.1 * torch.randn(1, round(seconds * SAMPLE_RATE), generator=torch.Generator().manual_seed(0))
    works: dict[str, Callable[[], Tensor]] = {
        name: lambda encoder=encoder: encoder(wav) for name, encoder in encoders(form).items()
    }
    taken, costs = time_in_turn(works, repeats=repeats), rates(form)
    rows = [
        (
            name,
            f"{1000 * taken[name]:.1f}",
            f"{100 * taken[name] / taken[WHOLE]:.2f}",
            f"{100 * costs[name] / costs[WHOLE]:.2f}",
        )
        for name in taken
    ]
    title = f"{form}, {seconds:g} s, float32, {threads} thread{'s' * (threads > 1)}"
    return markdown_table((title, "median ms", "% of the whole's time", "% of its multiply-adds"), rows)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.budgets", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="of the signal")
    parser.add_argument("--repeats", type=int, default=21, help="rounds that are timed")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="thread counts")
    parser.add_argument("--forms", nargs="+", default=list(FORMS), choices=list(FORMS))
    chosen = parser.parse_args(arguments)
    print(f"{machine()}\n{versions(['torch'])}")
    for threads in chosen.threads:
        torch.set_num_threads(threads)
        with threadpool_limits(threads), torch.inference_mode():
            for form in chosen.forms:
                lines = table(form, seconds=chosen.seconds, threads=threads, repeats=chosen.repeats)
                print(f"\n{lines}", flush=True)


if __name__ == "__main__":
    main()
