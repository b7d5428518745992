"""Mirrored padding as numpy.pad's: numpy is the judge."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch

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
