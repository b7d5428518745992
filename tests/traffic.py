"""Random traffic in a pool of streams, each of them judged by its offline run."""

from __future__ import annotations

import random

import torch
from torch import Tensor

import speechconv as sc
from speechconv.session import Handle
from tests.law import assert_close, signal


class Traffic:
    """Streams in a pool, each judged by its offline run when it is closed.

    Attributes:
        worst: largest difference so far, relative to the largest offline value.
        opened, judged: streams so far.
    """

    ROWS = 3

    def __init__(self, net: sc.Layer) -> None:
        self.net = net
        self.pool = sc.SessionPool(net, max_sessions=self.ROWS, dtype=torch.float64)
        self.sent: dict[Handle, Tensor] = {}
        self.got: dict[Handle, list[Tensor]] = {}
        self.worst, self.opened, self.judged = 0.0, 0, 0

    @property
    def full(self) -> bool:
        return len(self.pool) == self.ROWS

    def open(self) -> Handle:
        handle = self.pool.open()
        self.sent[handle], self.got[handle] = signal(self.net, 0, exact=True), []
        self.opened += 1
        return handle

    def push(self, handle: Handle, chunk: Tensor) -> None:
        self.pool.push(handle, chunk)
        self.sent[handle] = torch.cat((self.sent[handle], chunk))

    def pump(self) -> None:
        for handle, frames in self.pool.pump().items():
            self.got[handle].append(frames)

    def close(self, handle: Handle) -> None:
        """Whoever pushed NaN is not judged."""
        self.pool.close(handle)
        self.pump()
        sent, got = self.sent.pop(handle), self.got.pop(handle)
        if sent.isfinite().all():
            with torch.no_grad():
                expected = self.net(sent[None])[0]
            self.worst = max(self.worst, assert_close(torch.cat([expected[:0], *got]), expected, 1e-12))
            self.judged += 1


def assert_random_traffic(net: sc.Layer, seed: int, *, turns: int = 50) -> float:
    """Streams open, push, pause, end and follow each other in three rows, every third of them with NaN in all it
    pushes: the others equal their offline runs. The largest difference."""
    rng, lengths = random.Random(seed), random.Random(seed)  # the same actions for every layer
    traffic = Traffic(net)
    for turn in range(turns):
        action = rng.choice(("open", "push", "push", "push", "pump", "close"))
        if not traffic.sent or (action == "open" and not traffic.full):
            traffic.open()
            continue
        handle = rng.choice(list(traffic.sent))
        if action == "pump":
            traffic.pump()
        elif action == "close":
            traffic.close(handle)
        else:
            chunk = signal(net, lengths.randint(0, 2 * net.geometry.receptive_field), exact=False, seed=turn)
            traffic.push(handle, torch.full_like(chunk, torch.nan) if handle % 3 == 1 else chunk)
    for handle in list(traffic.sent):
        traffic.close(handle)
    assert traffic.judged > Traffic.ROWS  # so that rows have had several users
    assert traffic.opened > traffic.judged
    return traffic.worst
