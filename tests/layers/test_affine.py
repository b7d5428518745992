"""Scale and offset."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import speechconv as sc
from tests.law import assert_rows_stand_alone


def test_scale_and_offset_keep_the_law_before_a_layer_that_pads() -> None:
    """The offset must not reach the padding."""
    net = sc.Sequential(sc.Affine(scale=0.5, offset=3.0), sc.Conv1d(2, 3, 5, padding="same")).double()
    assert sc.check_streaming(net).worst <= 1e-12
    assert_rows_stand_alone(net, [torch.randn(n, 2, dtype=torch.float64) for n in (9, 0, 4)])
    assert sc.Affine(scale=0.5, offset=3.0)(torch.tensor([[[4.0]]])).item() == 5.0


def test_a_scaled_waveform_gives_a_scaled_spectrum() -> None:
    stft = sc.ConvSTFT(16, hop_length=8, output="magnitude")
    net, x = sc.Sequential(sc.Affine(scale=4.0), stft), torch.randn(1, 50)
    assert torch.equal(net(x), 4 * stft(x))
    assert sc.check_streaming(net, channels=0).worst <= 1e-12


@pytest.mark.parametrize("value", ["abc", float("nan"), float("inf"), None, True])
def test_what_is_no_finite_number_is_refused(value: Any) -> None:
    for name in ("scale", "offset"):
        with pytest.raises(ValueError, match=rf"{name} \(={value!r}\) must be a finite number"):
            sc.Affine(**{name: value})
