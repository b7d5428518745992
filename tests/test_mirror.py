"""Mirrored padding as numpy.pad's: numpy is the judge."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
import torch

import speechconv as sc
from speechconv.geometry import Mirror, MirrorKind
from speechconv.mirror import mirror_index, mirrored

each_kind = pytest.mark.parametrize("kind", get_args(MirrorKind))


@each_kind
@pytest.mark.parametrize("length", [1, 2, 3, 4, 7, 30])
def test_positions_mirror_as_numpy_pads_however_far_they_lie(length: int, kind: MirrorKind) -> None:
    for pad in (0, 1, length - 1, length, 2 * length, 31):
        positions = torch.arange(-pad, length + pad)
        expected = np.pad(np.arange(length), pad, mode=kind)
        assert mirror_index(positions, length, kind).tolist() == expected.tolist()


@each_kind
def test_rows_of_different_length_mirror_each_at_its_own_end(kind: MirrorKind) -> None:
    lengths = torch.tensor([1, 2, 5, 9])
    index = mirror_index(torch.arange(-6, 10)[None], lengths[:, None], kind)
    assert index.shape == (4, 16)
    for row, length in zip(index, lengths.tolist(), strict=True):
        expected = np.pad(np.arange(length), (6, max(0, 10 - length)), mode=kind)
        assert row.tolist() == expected[:16].tolist()


@each_kind
def test_a_waveform_is_mirrored_on_each_side_by_its_own_count(kind: MirrorKind) -> None:
    x = torch.randn(2, 11)
    y = mirrored(x, torch.tensor([11, 3]), Mirror(4, 7, kind))
    assert y[0].tolist() == np.pad(x[0].numpy(), (4, 7), mode=kind).tolist()
    assert y[1, :14].tolist() == np.pad(x[1, :3].numpy(), (4, 7), mode=kind).tolist()
    assert mirrored(x, None, Mirror(4, 7, kind))[1].tolist() == np.pad(x[1].numpy(), (4, 7), mode=kind).tolist()


@each_kind
def test_an_empty_signal_mirrors_nothing_that_lies_outside(kind: MirrorKind) -> None:
    """There is no sample to name; index 0 is safe in the padded tensor that holds the row."""
    assert mirror_index(torch.arange(-3, 4), 0, kind).tolist() == [0] * 7
    assert mirror_index(torch.arange(-3, 4), torch.tensor(0), kind).tolist() == [0] * 7


# Layers that mirror the signal, offline and live


class Windows(sc.Layer):
    """The samples of each frame, as they are, whatever mirrors the signal's ends."""

    in_channels = 0

    def __init__(self, geometry: sc.Geometry) -> None:
        super().__init__()
        self.geometry = geometry
        self.out_channels = geometry.receptive_field

    def valid(self, x: torch.Tensor) -> torch.Tensor:
        return x.unfold(1, self.geometry.receptive_field, self.geometry.stride)


@pytest.mark.parametrize("kind", ["reflect", "symmetric"])
@pytest.mark.parametrize("pads", [(6, 1), (1, 6), (3, 4), (0, 5), (5, 0), (7, 0)])
def test_any_mirror_keeps_the_law_and_gives_numpys_windows(pads: tuple[int, int], kind: Any) -> None:
    """Signals shorter than a pad are mirrored again and again, live too. Exact: samples are copied."""
    left, right = pads
    layer = Windows(sc.Geometry(8, 3, left, right, mirror=Mirror(left, right, kind))).double()
    assert sc.check_streaming(layer).worst == 0
    for length in range(1, 20):
        x = torch.randn(length, dtype=torch.float64)
        padded = torch.as_tensor(np.pad(x.numpy(), pads, mode=kind))
        expected = padded.unfold(0, 8, 3) if len(padded) >= 8 else padded.new_zeros(0, 8)
        assert torch.equal(layer(x[None])[0], expected)
        session = sc.Session(layer, dtype=torch.float64)
        live = torch.cat([*(session.push(sample) for sample in x.split(1)), session.close()])
        assert torch.equal(live, expected)


def test_a_mirrored_start_waits_for_no_sample_more_than_it_mirrors() -> None:
    """Frames 0 and 1 have all their samples after 2 and 5; "symmetric" mirrors 6 of them, "reflect" samples 1 ... 6."""
    due: list[tuple[MirrorKind, list[int]]] = [("symmetric", [6, 6, 8, 11]), ("reflect", [7, 7, 8, 11])]
    for kind, expected in due:
        session = sc.Session(Windows(sc.Geometry(8, 3, 6, 1, mirror=Mirror(6, 1, kind))))
        counts = [len(session.push(torch.ones(1))) for _ in range(11)]
        assert [at + 1 for at, count in enumerate(counts) for _ in range(count)] == expected


def test_zero_pads_outside_a_mirror_stay_zero() -> None:
    """Three samples that mirror and two zeros before the signal, one and one behind it; NaN past a row's end."""
    layer = Windows(sc.Geometry(9, 2, 5, 2, mirror=Mirror(3, 1, "symmetric"))).double()
    x = torch.randn(2, 17, dtype=torch.float64)
    x[1, 9:] = torch.nan
    y, frames = layer(x, torch.tensor([17, 9]))
    for row, length, given, count in zip(x, (17, 9), y, frames.tolist(), strict=True):
        padded = np.pad(np.pad(row[:length].numpy(), (3, 1), mode="symmetric"), (2, 1))
        expected = torch.as_tensor(padded).unfold(0, 9, 2)
        assert torch.equal(given[:count], expected)
        session = sc.Session(layer, dtype=torch.float64)
        assert torch.equal(torch.cat([session.push(row[:length]), session.close()]), expected)
