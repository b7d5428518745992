"""A floor below the maximum against librosa's top_db."""

from __future__ import annotations

import librosa
import pytest
import torch

import speechconv as sc
from tests.law import assert_close


def test_behind_decibels_it_is_librosas_top_db() -> None:
    power = torch.rand(1, 30, 8, dtype=torch.float64) ** 20
    expected = librosa.power_to_db(power[0].numpy(), ref=1.0, amin=1e-10, top_db=40.0)
    y = sc.Sequential(sc.Log(base="db"), sc.DynamicRange(top=40.0))(power)[0]
    assert (y == y.min()).sum() > 10
    assert_close(y, torch.from_numpy(expected), 1e-14)


def test_each_row_has_the_maximum_of_its_own_valid_frames() -> None:
    x = torch.randn(3, 6, 2, dtype=torch.float64) * torch.tensor([1.0, 50.0, 5.0]).view(3, 1, 1)
    lengths = torch.tensor([4, 6, 0])
    rows = [row[:n].clone() for row, n in zip(x, lengths, strict=True)]
    x[0, 4:], x[2] = torch.nan, torch.nan
    y, _ = sc.DynamicRange(top=0.5)(x, lengths)
    for i, row in enumerate(rows):
        assert torch.equal(y[i, : len(row)], row.clip(min=float(row.max()) - 0.5) if len(row) else row)
        assert not y[i, len(row) :].any()


def test_it_is_of_the_whole_utterance_and_says_what_to_use_instead() -> None:
    with pytest.raises(sc.NotStreamable, match="DynamicRange takes its maximum from the whole utterance") as caught:
        sc.Session(sc.DynamicRange(), channels=3)
    assert caught.value.alternatives[:2] == ("a fixed floor: Log(floor=...) without this stage", "PCEN")


def test_a_negative_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"top \(=-1.0\) must be >= 0"):
        sc.DynamicRange(top=-1.0)
