"""Tile by tile equals all at once; the layers themselves say how often and on what they were called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import speechconv as sc
from speechconv.tiles import tiled_runs

ROUNDING = 1e-14  # float64: a matrix product may sum in another order for another number of rows

TILES = [1, 3, 7, 64, 10_000]
each_tile = pytest.mark.parametrize("tile", TILES)


class Windows(sc.Layer):
    """The sum of 4 samples, every 3; remembers the shape of each piece that it was given."""

    geometry = sc.Geometry(receptive_field=4, stride=3, pad_left=2, pad_right=1)
    in_channels, out_channels = 0, 1

    def __init__(self, tile: int | None) -> None:
        super().__init__()
        self.tile = tile
        self.seen: list[tuple[int, ...]] = []

    def valid(self, x: Tensor) -> Tensor:
        self.seen.append(tuple(x.shape))
        return x.unfold(1, 4, 3).sum(2, keepdim=True)


class Doubled(sc.Layer):
    """Twice each frame; remembers the shapes likewise."""

    def __init__(self, learn: bool = False) -> None:
        super().__init__()
        self.seen: list[tuple[int, ...]] = []
        self.factor = nn.Parameter(torch.tensor(2.0), requires_grad=learn)

    def valid(self, x: Tensor) -> Tensor:
        self.seen.append(tuple(x.shape))
        return self.factor * x


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def tiled(stft: sc.ConvSTFT, tile: int | None, behind: Sequence[nn.Module] = ()) -> sc.Sequential:
    stft.tile = tile
    return sc.Sequential(stft, *behind).double()


@each_tile
@pytest.mark.parametrize("samples", [0, 1, 40, 1000])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("arguments", [{}, {"pad_mode": "reflect"}, {"center": False}, {"learn": "window"}], ids=str)
@torch.no_grad()
def test_tiles_of_an_fft_give_the_bits_of_the_whole(
    arguments: dict[str, Any], batch: int, samples: int, tile: int
) -> None:
    stft = sc.ConvSTFT(64, hop_length=24, output="power", **arguments)
    x = noise(batch, samples)
    whole = tiled(stft, None)(x)
    assert torch.equal(tiled(stft, tile)(x), whole)
    assert whole.shape[1] == stft.geometry.num_frames(samples)


@each_tile
@torch.no_grad()
def test_tiles_respect_each_rows_length(tile: int) -> None:
    """Rows of no frame, of one, and longer than a tile; NaN behind them."""
    for pad_mode in ("constant", "reflect"):
        stft = sc.ConvSTFT(64, hop_length=24, output="power", pad_mode=pad_mode)
        x, lengths = noise(4, 1000), torch.tensor([0, 20, 1000, 700])
        for row, length in zip(x, lengths, strict=True):
            row[length:] = torch.nan
        whole, frames = tiled(stft, None)(x, lengths)
        y, again = tiled(stft, tile)(x, lengths)
        assert torch.equal(again, frames)
        assert torch.equal(y, whole)
        for i in (1, 2, 3):
            assert torch.equal(y[i, : frames[i]], tiled(stft, None)(x[i : i + 1, : lengths[i]])[0])
        assert not y[0].any()


@each_tile
@torch.no_grad()
def test_a_whole_chain_in_tiles_equals_itself_untiled(tile: int) -> None:
    behind = [sc.Mel(20, sample_rate=8000, n_fft=64), sc.Log(), nn.Linear(20, 5), nn.GELU(), sc.Conv1d(5, 4, 3)]
    stft = sc.ConvSTFT(64, hop_length=24, output="power")
    x = noise(3, 1000)
    whole = tiled(stft, None, behind)(x)
    assert (tiled(stft, tile, behind)(x) - whole).abs().max() <= ROUNDING * whole.abs().max()


@torch.no_grad()
def test_followers_get_each_tile_while_it_is_fresh() -> None:
    head, follower = Windows(tile=5), Doubled()
    y = sc.Sequential(head, follower)(noise(1, 36).float())
    assert y.shape == (1, 12, 1)
    assert head.seen == [(1, 19), (1, 19)]  # 6 + 6 frames: 3 (n - 1) + 4 samples
    assert follower.seen == [(1, 6, 1), (1, 6, 1)]


@torch.no_grad()
def test_short_rows_share_a_tile() -> None:
    head = Windows(tile=10)
    sc.Sequential(head)(noise(5, 12).float())
    assert head.seen == [(2, 13), (2, 13), (1, 13)]  # 4 frames a row


@pytest.mark.parametrize("asks", ["input", "follower"])
def test_where_a_gradient_is_asked_for_nothing_is_cut(asks: str) -> None:
    head, follower = Windows(tile=2), Doubled(learn=asks == "follower")
    x = noise(1, 36).float().requires_grad_(asks == "input")
    y = sc.Sequential(head, follower)(x)
    assert y.requires_grad
    assert len(head.seen) == len(follower.seen) == 1


def test_where_nothing_needs_a_gradient_tiles_run_though_gradients_are_on() -> None:
    head = Windows(tile=2)
    sc.Sequential(head, Doubled())(noise(1, 36).float())
    assert len(head.seen) == 6


@torch.no_grad()
def test_a_padded_batch_runs_in_tiles_in_training_mode_too() -> None:
    """It is the mode that modules are made in."""
    head, follower = Windows(tile=2), Doubled()
    chain = sc.Sequential(head, follower)
    assert chain.training
    chain(noise(2, 36).float(), torch.tensor([36, 20]))
    assert len(head.seen) == len(follower.seen) > 1


def test_a_head_shares_its_tiles_with_the_frame_by_frame_layers_behind_it() -> None:
    head, mel, log, relu = Windows(tile=2), Doubled(), sc.Log(), nn.ReLU()
    point, wide, norm = sc.Conv1d(1, 1, 1), sc.Conv1d(1, 1, 3, padding="same"), sc.LayerNorm(1)
    residual, untiled = sc.Residual(nn.ReLU()), Windows(tile=None)
    layers = [head, mel, log, relu, point, wide, norm, residual, untiled, relu]
    assert list(tiled_runs(layers)) == [
        (head, [mel, log, relu, point]),
        (wide, []),
        (norm, []),
        (residual, []),
        (untiled, []),
        (relu, []),
    ]


def test_a_composition_of_pointwise_layers_ends_a_run() -> None:
    """It evaluates its parts itself."""
    head, chain = Windows(tile=2), sc.Sequential(nn.ReLU())
    assert list(tiled_runs([head, chain])) == [(head, []), (chain, [])]
