"""Live streams: what a step of 20 ms takes with 1, 16 and 64 sessions, and how many one core carries.

    python -m benchmarks.streams [--blocks 300] [--sessions 1 16 64 128] [--pipelines light full-causal]

One thread. Every 20 ms of audio each session gets 320 samples and the pool is pumped once; that is a step. One session
alone is a `Session`. N sessions run in real time on one core if a step of theirs takes less than 20 ms, on average for
those that buffer, at p99 for those that do not. "fit into one core" is N 20 ms / mean step, so many fill it.

light         log-mel 80 (25 ms every 10 ms), a causal WaveNet stack (64 channels, 10 layers), a causal Conformer
              module (144 channels)
full-causal   the preset: log-mel beside the wav2vec 2.0 encoder, WaveNet stack, positional embedding, Conformer module
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import torch
from threadpoolctl import threadpool_limits
from torch import nn

import speechconv as sc
from benchmarks.timing import machine, markdown_table, percentile, time_once, versions

SAMPLE_RATE, CHUNK = 16000, 320
WARM_UP = 20  # steps that are not timed
PACKAGES = ("torch", "torchaudio")


def light() -> sc.Pipeline:
    """Causal behind an uncentred STFT."""
    stages = {
        "stft": sc.ConvSTFT(400, hop_length=160, center=False, output="power"),
        "mel": sc.Mel(80, sample_rate=SAMPLE_RATE, n_fft=400),
        "log": sc.Log(),
        "to_wavenet": nn.Linear(80, 64),
        "wavenet": sc.WaveNetStack(64),
        "to_conformer": nn.Linear(64, 144),
        "conformer": sc.Residual(sc.ConformerConvModule(144, padding="causal")),
    }
    return sc.Pipeline(stages, sample_rate=SAMPLE_RATE).eval()


PIPELINES: dict[str, Callable[[], sc.Pipeline]] = {
    "light": light,
    "full-causal": lambda: sc.Pipeline.from_preset("full-causal"),
}


def step_seconds(pipe: sc.Pipeline, sessions: int, blocks: int) -> list[float]:
    """Of each step of 20 ms, all sessions together."""
    step = _one_session(pipe) if sessions == 1 else _pool(pipe, sessions)
    chunks = 0.1 * torch.randn(WARM_UP + blocks, CHUNK, generator=torch.Generator().manual_seed(0))
    return [time_once(lambda chunk=chunk: step(chunk)) for chunk in chunks][WARM_UP:]


def _one_session(pipe: sc.Pipeline) -> Callable[[torch.Tensor], object]:
    return pipe.stream().push


def _pool(pipe: sc.Pipeline, sessions: int) -> Callable[[torch.Tensor], object]:
    pool = pipe.stream_pool(max_sessions=sessions)
    handles = [pool.open() for _ in range(sessions)]

    def step(chunk: torch.Tensor) -> object:
        for handle in handles:
            pool.push(handle, chunk)
        return pool.pump()

    return step


def table(name: str, sessions: Sequence[int], blocks: int) -> str:
    """p50 and p99 for each number of sessions, and the sessions that one core carries at that batch."""
    pipe, rows = PIPELINES[name]().fuse(), []
    for count in sessions:
        taken = step_seconds(pipe, count, blocks)
        p50, p99 = (1000 * percentile(taken, share) for share in (0.5, 0.99))
        carried = count * (1000 * CHUNK / SAMPLE_RATE) / (1000 * sum(taken) / len(taken))
        rows.append((str(count), f"{p50:.2f}", f"{p99:.2f}", f"{p50 / count:.3f}", f"{carried:.0f}"))
    return markdown_table((f"{name}: sessions", "p50 ms", "p99 ms", "p50 ms a session", "fit into one core"), rows)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.streams", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--blocks", type=int, default=300, help="steps that are timed, 20 ms of audio each")
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 16, 64, 128], help="numbers of sessions")
    parser.add_argument("--pipelines", nargs="+", default=list(PIPELINES), choices=list(PIPELINES))
    chosen = parser.parse_args(arguments)
    print(f"{machine()}\n{versions(PACKAGES)}\n1 thread, {chosen.blocks} steps of 20 ms")
    torch.set_num_threads(1)
    with threadpool_limits(1):
        for name in chosen.pipelines:
            print(f"\n{table(name, chosen.sessions, chosen.blocks)}", flush=True)


if __name__ == "__main__":
    main()
