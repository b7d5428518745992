"""Normalize against transformers' feature extractor and fairseq's layer norm over the samples."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import Wav2Vec2FeatureExtractor

import speechconv as sc
from speechconv.moments import moments


def test_each_row_is_normalised_as_transformers_does() -> None:
    """Their float32 loop over the rows, a padded batch with a mask: 1e-6 of scale is its rounding."""
    rows = [3 * torch.randn(n) + 5 for n in (4000, 1500, 1)]
    extractor = Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True)
    theirs = extractor([row.numpy() for row in rows], sampling_rate=16000, padding=True, return_tensors="np")
    batch = torch.full((3, 4000), torch.nan)
    for padded, row in zip(batch, rows, strict=True):
        padded[: len(row)] = row
    y, lengths = sc.Normalize()(batch, torch.tensor([4000, 1500, 1]))
    assert lengths.tolist() == theirs["attention_mask"].sum(1).tolist()
    assert np.abs(y.numpy() - theirs["input_values"]).max() <= 1e-6 * np.abs(theirs["input_values"]).max()


def test_with_fairseqs_eps_it_is_a_layer_norm_over_the_samples() -> None:
    x = (torch.randn(2, 3000) + 100).double()
    torch.testing.assert_close(sc.Normalize(eps=1e-5)(x), F.layer_norm(x, (3000,)), rtol=0, atol=1e-11)


def test_an_offset_costs_no_digits() -> None:
    """Of float32 samples far from zero: the mean is float64's."""
    x = torch.randn(1, 5000) + 1000
    expected = (x.double() - x.double().mean()) / x.double().std(correction=0)
    assert (sc.Normalize()(x) - expected).abs().max() <= 1e-4  # float32 holds 1000 to 6e-5


def test_frozen_uses_what_it_was_given() -> None:
    given, x = 2 * torch.randn(1, 4000).double() + 1, torch.randn(2, 300).double()
    stage = sc.Normalize()
    stage.freeze(moments(given, stage.window))
    expected = (x - given.mean()) / (given.var(correction=0) + 1e-7).sqrt()
    assert stage.statistics == "frozen"
    torch.testing.assert_close(stage(x), expected, rtol=0, atol=1e-12)


def test_silence_stays_silence() -> None:
    assert not sc.Normalize()(torch.zeros(1, 100)).any()
    assert sc.Normalize()(torch.zeros(2, 0)).shape == (2, 0)


def test_live_it_says_what_it_needs_and_what_to_take_instead() -> None:
    with pytest.raises(sc.NotStreamable, match=r"mean and variance from the whole utterance") as caught:
        sc.Session(sc.Sequential(sc.Normalize(), sc.ConvSTFT()))
    assert caught.value.alternatives[0].startswith("statistics='frozen' with calibrate(audio)")


def test_frozen_without_statistics_says_how_to_get_some() -> None:
    stage = sc.Normalize(statistics="frozen")
    with pytest.raises(ValueError, match=re.escape("pipeline.calibrate(audio)")):
        stage(torch.randn(1, 10))
    with pytest.raises(ValueError, match="never given"):
        sc.Session(stage)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"statistics": "running"}, "must be one of"), ({"eps": 0.0}, r"eps \(=0.0\) must be > 0")],
)
def test_arguments_outside_their_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sc.Normalize(**settings)
