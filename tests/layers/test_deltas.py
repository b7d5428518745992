"""Deltas against librosa's Savitzky-Golay filter and Kaldi's add-deltas, written plainly here."""

from __future__ import annotations

import re
from typing import Any

import librosa
import numpy as np
import pytest
import torch
from torch import Tensor

import speechconv as sc
from tests.law import assert_close

RULES: list[dict[str, Any]] = [
    {"order": 2, "width": 5, "rule": "kaldi"},
    {"order": 3, "width": 3, "rule": "kaldi"},
    {"order": 1, "width": 9, "rule": "librosa-interp"},
    {"order": 3, "width": 5, "rule": "librosa-interp"},
    {"order": 2, "width": 9, "rule": "librosa-nearest"},
]
each_rule = pytest.mark.parametrize("settings", RULES, ids=str)


def kaldi_deltas(x: np.ndarray, order: int, window: int) -> np.ndarray:
    """DeltaFeatures of feature-functions.cc: weights of each order, then frames beyond the edges replicated."""
    weights = [np.ones(1)]
    ramp = np.arange(-window, window + 1)
    for _ in range(order):
        before = weights[-1]
        longer = np.zeros(len(before) + 2 * window)
        for j in ramp:
            for k, value in enumerate(before):
                longer[j + k + window] += j * value
        weights.append(longer / (ramp**2).sum())
    y = np.zeros((len(x), order + 1, x.shape[1]))
    for t in range(len(x)):
        for i, row in enumerate(weights):
            for k, value in enumerate(row):
                y[t, i] += value * x[min(max(t + k - len(row) // 2, 0), len(x) - 1)]
    return y.reshape(len(x), -1)


def frames(count: int) -> Tensor:
    return torch.randn(count, 3, dtype=torch.float64)


@pytest.mark.parametrize("count", [1, 2, 4, 5, 40])
@pytest.mark.parametrize(("order", "width"), [(2, 5), (1, 3), (3, 7)])
def test_kaldis_rule_is_add_deltas(order: int, width: int, count: int) -> None:
    x = frames(count)
    expected = torch.from_numpy(kaldi_deltas(x.numpy(), order, width // 2))
    assert_close(sc.Deltas(order, width=width).double()(x[None])[0], expected, 1e-14)


@pytest.mark.parametrize("mode", ["interp", "nearest"])
@pytest.mark.parametrize("width", [3, 5, 9])
@pytest.mark.parametrize("count", [9, 10, 50])
def test_librosas_rules_are_its_delta(mode: str, width: int, count: int) -> None:
    x = frames(count)
    orders = [1, 2]
    parts = [librosa.feature.delta(x.numpy().T, width=width, order=order, mode=mode).T for order in orders]
    expected = torch.from_numpy(np.concatenate([x.numpy(), *parts], 1))
    rule: Any = f"librosa-{mode}"
    assert_close(sc.Deltas(2, width=width, rule=rule).double()(x[None])[0], expected, 1e-13)


@pytest.mark.parametrize("count", [1, 4, 8])
def test_a_signal_too_short_for_interp_takes_replicated_edges(count: int) -> None:
    x = frames(count)[None]
    interp, nearest = (sc.Deltas(2, width=9, rule=rule).double() for rule in ("librosa-interp", "librosa-nearest"))
    assert torch.equal(interp(x), nearest(x))


@each_rule
def test_deltas_keep_the_law(settings: dict[str, Any]) -> None:
    """Both edges, short signals among them."""
    assert sc.check_streaming(sc.Deltas(**settings), channels=3).worst <= 1e-12


@each_rule
def test_between_strided_convolutions_they_keep_the_law(settings: dict[str, Any]) -> None:
    channels = 3 * (settings["order"] + 1)
    net = sc.Sequential(
        sc.Conv1d(2, 3, 5, stride=2, padding="same"),
        sc.Deltas(**settings),
        sc.Conv1d(channels, 2, 3, stride=2, padding="same"),
    )
    assert sc.check_streaming(net).worst <= 1e-12


def test_lookahead_is_what_the_docstring_says() -> None:
    assert sc.Deltas(2, width=5).geometry.lookahead == 4
    assert sc.Deltas(2, width=9, rule="librosa-nearest").geometry.lookahead == 4
    assert sc.Deltas(2, width=9, rule="librosa-interp").geometry.lookahead == 8


def test_a_module_of_deltas_can_be_cast() -> None:
    assert sc.Deltas().half().double().exact("kernels").dtype == torch.float64


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"order": 0}, "order (=0) must be an integer >= 1."),
        ({"width": 4}, "width (=4) must be odd: as many frames after a frame as before it."),
        ({"width": 1}, "width (=1) must be an integer >= 3."),
        ({"rule": "mirror"}, "rule (='mirror') must be one of 'kaldi', 'librosa-interp', 'librosa-nearest'."),
        ({"order": 3, "width": 3, "rule": "librosa-interp"}, "order (=3) must be below width (=3)."),
    ],
    ids=str,
)
def test_arguments_outside_their_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(message)}$"):
        sc.Deltas(**settings)
