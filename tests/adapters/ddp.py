"""One of two processes: gradients of its rows by DDP and by FSDP against those of all rows in one process.

python -m tests.adapters.ddp RANK FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import distributed
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from speechconv.pipeline import Pipeline
from tests.adapters.encoders import feature_encoder, gradients, ragged


def main(rank: int, folder: Path) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    pipe = Pipeline([feature_encoder()], sample_rate=8000).double()
    wav, lengths = ragged(700, 333, 512, 40, dtype=torch.float64)
    pipe(wav, lengths)[0].square().sum().backward()
    expected = [gradient.clone() / 2 for gradient in gradients(pipe)]  # DDP takes the mean over processes
    pipe.zero_grad()
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    rows = slice(2 * rank, 2 * rank + 2)
    parallel = DistributedDataParallel(pipe)
    frames, _ = parallel(wav[rows], lengths[rows])
    frames.square().sum().backward()
    for own, gradient in zip(expected, gradients(pipe), strict=True):
        torch.testing.assert_close(gradient, own, rtol=1e-10, atol=1e-10)
    pipe.zero_grad()
    for parameter in pipe.parameters():
        parameter.data = parameter.data.contiguous()
    fully_shard(pipe)
    frames, _ = pipe(wav[rows], lengths[rows])
    frames.square().sum().backward()
    for own, parameter in zip(expected, pipe.parameters(), strict=True):
        assert isinstance(parameter.grad, DTensor)
        torch.testing.assert_close(parameter.grad.full_tensor(), own, rtol=1e-10, atol=1e-10)
    distributed.destroy_process_group()
    (folder / f"{rank}.ok").touch()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
