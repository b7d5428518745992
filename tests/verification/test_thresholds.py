"""Thresholds and minima on the answers of verify."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import speechconv as sc
from speechconv.verification.verifier import CHECKABLE
from tests.verification.banks import dft, hann, noise, pairs, real_only


def test_thresholds_decide() -> None:
    bank = pairs(dft(256, hann(256)), hop_length=128)
    answer = sc.verify(bank, thresholds={"stft.rho": 1e-12, "bank.kappa": 2.0, "bank.kappa_two_sided": 2.1})
    assert [(check.name, check.passed) for check in answer.checks] == [
        ("stft.rho", True),
        ("bank.kappa", False),
        ("bank.kappa_two_sided", True),
    ]
    assert answer.checks[1].value == pytest.approx(2.618, abs=1e-3)
    assert not answer.passed
    assert sc.verify(bank, thresholds={"stft.rho": 1e-12}).passed
    assert sc.verify(bank).passed


def test_a_threshold_may_be_met_exactly_from_either_side() -> None:
    rank = sc.verify(real_only(np.eye(4, 8), hop_length=2)).bank.effective_rank  # pyright: ignore[reportOptionalMemberAccess] - a bank has an answer
    limits = {"bank.effective_rank": rank, "bank.rows": 4}
    answer = sc.verify(real_only(np.eye(4, 8), hop_length=2), thresholds=limits, minima=limits)
    assert [(check.name, check.at_least, check.passed) for check in answer.checks] == [
        ("bank.effective_rank", False, True),
        ("bank.rows", False, True),
        ("bank.effective_rank", True, True),
        ("bank.rows", True, True),
    ]


def test_minima_guard_what_must_not_be_lost() -> None:
    bank = pairs(dft(256, hann(256)), hop_length=128)
    whole = sc.verify(bank, minima={"bank.A": 10.0, "bank.effective_rank": 100})
    assert whole.passed
    assert whole.bank is not None
    assert [check.value for check in whole.checks] == [whole.bank.A, whole.bank.effective_rank]
    half = sc.verify(
        pairs(dft(256, hann(256))[:64], hop_length=128), minima={"bank.A": 10.0, "bank.effective_rank": 100}
    )
    assert [check.passed for check in half.checks] == [False, False]
    assert sc.verify(bank, minima={"bank.kappa": 2.6}, thresholds={"bank.kappa": 2.7}).passed
    assert not sc.verify(bank, minima={"bank.kappa": 2.7}).passed


def test_every_single_number_may_be_bounded() -> None:
    assert {"bank.rows", "stft.n_fft", "stft.win_length", "probe.receptive_field", "scales.residual.mel_htk"} <= set(
        CHECKABLE
    )
    answer = sc.verify(pairs(dft(64, hann(64))), thresholds={"scales.residual.linear": 1e-6, "stft.n_fft": 32})
    assert [(check.name, check.passed) for check in answer.checks] == [
        ("scales.residual.linear", True),
        ("stft.n_fft", False),
    ]
    assert answer.scales is not None
    assert answer.checks[0].value == answer.scales.residual["linear"]
    given = dict.fromkeys(CHECKABLE, math.inf)
    written = sc.verify(pairs(dft(64, hann(64)), hop_length=16), thresholds=given, audio=torch.randn(400)).to_json()
    for check in written["checks"]:
        place = written
        for key in check["name"].split("."):
            place = place and place[key]
        assert check["value"] == place, "a name is the path in the JSON"


def test_what_has_no_answer_is_beyond_every_threshold() -> None:
    limits = {"bank.kappa": 1e9, "sound.mean_db": 1e9}
    answer = sc.verify(real_only(noise(8, 32)), thresholds=limits, minima=dict.fromkeys(limits, -1e9))
    assert [(check.value, check.passed) for check in answer.checks] == [(None, False)] * 4
    answer = sc.verify(sc.FeatureEncoder(channels=4), minima={"scales.residual.bark": 0, "bank.A": 0})
    assert [check.passed for check in answer.checks] == [True, False]


def test_an_unknown_threshold_is_refused_and_the_known_are_listed() -> None:
    with pytest.raises(ValueError, match=r"(?s)bank\.kapa.*bank\.kappa"):
        sc.verify(real_only(noise(8, 32)), thresholds={"bank.kapa": 3.0})
    with pytest.raises(ValueError, match=r"unknown threshold 'bank\.a'"):
        sc.verify(real_only(noise(8, 32)), minima={"bank.a": 3.0})
    assert {"stft.rho", "drift.total", "bank.kappa", "bank.A", "pairs.analyticity", "sound.max_db"} <= set(CHECKABLE)
