"""Preemphasis against a plain difference."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import speechconv as sc


def test_preemphasis_keeps_the_first_sample_and_takes_off_a_share_of_the_one_before() -> None:
    x = np.random.default_rng(0).standard_normal(50)
    expected = np.append(x[:1], x[1:] - 0.97 * x[:-1])
    assert torch.equal(sc.Preemphasis()(torch.from_numpy(x)[None])[0], torch.from_numpy(expected))


@pytest.mark.parametrize("drop_last", [False, True])
def test_preemphasis_before_a_centred_stft_keeps_the_law(drop_last: bool) -> None:
    stft = sc.ConvSTFT(32, hop_length=12, drop_last=drop_last, output="power")
    assert sc.check_streaming(sc.Sequential(sc.Preemphasis(coefficient=0.5), stft)).worst <= 1e-12


def test_a_coefficient_outside_its_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"coefficient \(=1.5\) must lie in 0 ... 1"):
        sc.Preemphasis(coefficient=1.5)
