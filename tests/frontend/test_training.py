"""Training safely: plain re-computations, torch's optimisers and finite differences are the judges."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import speechconv as sc
from speechconv.frontend.frame_bounds import frame_bounds, two_sided
from speechconv.frontend.stft import Learn
from tests.frontend.stft_judges import LEARN, LEARNED, noise

each_way = pytest.mark.parametrize("learn", LEARN)
each_learned = pytest.mark.parametrize("learn", LEARNED)


def moved(stft: sc.ConvSTFT, share: float = 0.1) -> sc.ConvSTFT:
    with torch.no_grad():
        for i, parameter in enumerate(stft.parameters()):
            parameter += share * noise(*parameter.shape, seed=i).to(parameter.dtype)
    return stft


# drift


@each_way
def test_drift_begins_at_zero(learn: Learn | None) -> None:
    for periodic in (True, False):
        drift = sc.ConvSTFT(64, hop_length=16, win_length=50, periodic=periodic, learn=learn).drift()
        assert drift.total <= 1e-7  # float32's rounding of the filters
        assert drift.per_bin.shape == (33,)
        assert float(drift.per_bin.max()) <= 1e-7


def test_a_silent_bank_has_a_finite_penalty() -> None:
    stft = sc.ConvSTFT(64, hop_length=16, learn="free")
    torch.nn.init.zeros_(stft.weight)
    assert stft.frame_penalty().item() == pytest.approx(27.6, abs=0.05)


@each_learned
def test_drift_is_the_change_of_the_complex_filters(learn: Learn) -> None:
    stft = sc.ConvSTFT(64, hop_length=16, win_length=50, window="hamming", learn=learn).double()
    before = torch.complex(*sc.ConvSTFT(64, win_length=50, window="hamming").double().kernel.chunk(2))
    after = torch.complex(*moved(stft).kernel.detach().chunk(2))
    drift = stft.drift()
    assert drift.total == pytest.approx(float((after - before).norm() / before.norm()), rel=1e-6)
    expected = [float((z - z0).norm() / z0.norm()) for z, z0 in zip(after, before, strict=True)]
    assert drift.per_bin.tolist() == pytest.approx(expected, rel=1e-5, abs=1e-7)


# frame_penalty


@each_way
def test_the_penalty_is_the_log_of_the_two_sided_condition_number(learn: Learn | None) -> None:
    stft = moved(sc.ConvSTFT(64, hop_length=24, learn=learn).double())
    kappa = frame_bounds(two_sided(*stft.kernel.detach().chunk(2)), 24, num_points=13).kappa
    assert stft.frame_penalty().item() == pytest.approx(math.log(kappa), abs=1e-9)


@each_learned
def test_the_penaltys_gradient_is_that_of_finite_differences(learn: Learn) -> None:
    stft = moved(sc.ConvSTFT(10, hop_length=4, window="hamming", learn=learn).double())
    names = [name for name, _ in stft.named_parameters()]

    class Penalty(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stft = stft

        def forward(self) -> Tensor:
            return self.stft.frame_penalty()

    def penalty(*values: Tensor) -> Tensor:
        given = {f"stft.{name}": value for name, value in zip(names, values, strict=True)}
        return torch.func.functional_call(Penalty(), given, ())

    values = tuple(p.detach().clone().requires_grad_() for p in stft.parameters())
    assert torch.autograd.gradcheck(penalty, values)


@each_learned
def test_the_gradient_is_finite_in_a_tight_frame_and_in_none(learn: Learn) -> None:
    for hop_length, penalty in ((16, 0.0), (70, -math.log(1e-12))):
        stft = sc.ConvSTFT(64, hop_length=hop_length, learn=learn).double()
        loss = stft.frame_penalty()
        assert loss.item() == pytest.approx(penalty, abs=1e-6)
        loss.backward()
        for parameter in stft.parameters():
            assert parameter.grad is not None
            assert bool(parameter.grad.isfinite().all())


def test_descending_the_penalty_repairs_a_bank() -> None:
    stft = moved(sc.ConvSTFT(32, hop_length=8, learn="delta"), 0.5)
    before = stft.frame_penalty().item()
    optimiser = torch.optim.Adam(stft.param_groups(1e-2))
    for _ in range(60):
        optimiser.zero_grad()
        stft.frame_penalty().backward()
        optimiser.step()
    assert stft.frame_penalty().item() < before / 2


# param_groups


@each_learned
def test_every_parameter_is_in_one_group(learn: Learn) -> None:
    stft = sc.ConvSTFT(64, learn=learn)
    grouped = [p for group in stft.param_groups(1e-3, 0.01) for p in group["params"]]
    assert {id(p) for p in grouped} == {id(p) for p in stft.parameters()}
    assert len(grouped) == len(list(stft.parameters()))


def test_fixed_filters_have_no_groups() -> None:
    assert sc.ConvSTFT(64).param_groups(1e-3) == []


@pytest.mark.parametrize("window", ["hann", "hamming", ("kaiser", 8.0)])
def test_one_step_of_adam_is_the_same_relative_step_for_delta_and_free(window: Any) -> None:
    """Adam's first step is its learning rate whatever the gradient, so the filters move by that share in both parts."""
    drifts = []
    for learn in ("delta", "free"):
        stft = sc.ConvSTFT(64, window=window, learn=learn).double()
        optimiser = torch.optim.Adam(stft.param_groups(1e-2))
        (stft.kernel * noise(66, 64)).sum().backward()
        optimiser.step()
        drifts.append(stft.drift().total)
    assert drifts[0] == pytest.approx(drifts[1], rel=1e-4)
    assert drifts[0] == pytest.approx(1e-2 * math.sqrt(2), rel=1e-4)


@each_learned
def test_weight_decay_leads_back_to_the_stft_and_never_to_silence(learn: Learn) -> None:
    stft = moved(sc.ConvSTFT(64, learn=learn).double())
    before = stft.drift().total
    optimiser = torch.optim.AdamW(stft.param_groups(1e-2, weight_decay=10.0))
    for _ in range(100):
        optimiser.zero_grad()
        (0 * stft.kernel).sum().backward()
        optimiser.step()
    after = stft.drift().total
    if learn == "free":
        assert after == pytest.approx(before)
    else:
        assert after < 1e-3 * before


@pytest.mark.parametrize("arguments", [{"lr": -1.0}, {"lr": 0.0}, {"lr": 1e-3, "weight_decay": -1.0}], ids=str)
def test_rates_that_lead_nowhere_are_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"(lr|weight_decay) \(=.*\) must be >"):
        sc.ConvSTFT(64, learn="delta").param_groups(**arguments)
