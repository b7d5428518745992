"""Reflect padding as numpy.pad's: numpy is the judge."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from speechconv.mirror import mirror_index


@pytest.mark.parametrize("length", [1, 2, 3, 4, 7, 30])
def test_positions_mirror_as_numpy_pads_however_far_they_lie(length: int) -> None:
    for pad in (0, 1, length - 1, length, 2 * length, 31):
        positions = torch.arange(-pad, length + pad)
        expected = np.pad(np.arange(length), pad, mode="reflect")
        assert mirror_index(positions, length).tolist() == expected.tolist()


def test_rows_of_different_length_mirror_each_at_its_own_end() -> None:
    lengths = torch.tensor([1, 2, 5, 9])
    index = mirror_index(torch.arange(-6, 10)[None], lengths[:, None])
    assert index.shape == (4, 16)
    for row, length in zip(index, lengths.tolist(), strict=True):
        expected = np.pad(np.arange(length), (6, max(0, 10 - length)), mode="reflect")
        assert row.tolist() == expected[:16].tolist()


def test_an_empty_signal_mirrors_nothing_that_lies_outside() -> None:
    """There is no sample to name; index 0 is safe in the padded tensor that holds the row."""
    assert mirror_index(torch.arange(-3, 4), 0).tolist() == [0] * 7
    assert mirror_index(torch.arange(-3, 4), torch.tensor(0)).tolist() == [0] * 7
