"""Modules of a known kind that do more than it does, against torch's flop counter: what is not counted is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

import speechconv as sc
from tests.cost.test_flop_counter import operations

LINEAR = 9 * 4 * 4
"""Multiply-adds of a Linear(4, 4) on 9 frames."""


class TwiceConvolved(nn.Conv1d):
    """Computes by a method that its kind's `forward` calls."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return super()._conv_forward(super()._conv_forward(input, weight, bias), weight, bias)


class Attended(sc.MaxPool1d):
    """Multiplies frames with each other before it pools them."""

    def pool(self, x: Tensor, real: Tensor) -> Tensor:
        return super().pool(x @ x.mT @ x, real)


class Padded(nn.BatchNorm1d):
    """Replaces nothing that computes."""

    def _check_input_dim(self, input: Tensor) -> None:
        pass

    def extra_repr(self) -> str:
        return "padded"


def patched() -> nn.Linear:
    linear = nn.Linear(4, 4)
    linear.forward = lambda input: F.linear(F.linear(input, linear.weight), linear.weight)
    return linear


def hooked(hook: Callable[..., Any], *, before: bool = False) -> nn.Linear:
    linear = nn.Linear(4, 4)
    linear.register_forward_pre_hook(hook) if before else linear.register_forward_hook(hook)
    return linear


def squared(module: nn.Module, args: tuple[Tensor, ...], y: Tensor) -> Tensor:
    return y @ y.mT @ y


def projected(module: nn.Module, args: tuple[Tensor, ...]) -> Tensor:
    return args[0] @ torch.ones(4, 4, device=args[0].device)


def watched(module: nn.Module, args: tuple[Tensor, ...], y: Tensor) -> None:
    vars(module)["largest"] = y.abs().max()


DOING_MORE = (
    (nn.Sequential(TwiceConvolved(9, 9, 1)), ["0 (TwiceConvolved), which replaces Conv1d's _conv_forward"], 0),
    (sc.Sequential(Attended(3)), ["0 (Attended), which replaces MaxPool1d's pool"], 0),
    (nn.Sequential(patched()), ["0 (Linear), which replaces Linear's forward"], 0),
    (nn.Sequential(hooked(squared)), ["bmm in Sequential"], LINEAR),
    (nn.Sequential(hooked(projected, before=True)), ["mm in Sequential"], LINEAR),
    (hooked(squared), ["bmm in Linear"], LINEAR),
    (sc.Sequential(hooked(squared)), ["0 (Linear), which has forward hooks"], LINEAR),
    (nn.Sequential(sc.Sequential(hooked(squared))), ["0.0 (Linear), which has forward hooks"], LINEAR),
)


@pytest.mark.parametrize(("net", "named", "counted"), DOING_MORE)
def test_what_a_module_does_beside_its_kind_is_named(net: nn.Module, named: list[str], counted: int) -> None:
    sheet = sc.describe(net, (9, 4))
    assert list(sheet.unknown) == named
    assert sheet.total.products == counted < operations(net.eval(), torch.randn(1, 9, 4)) / 2
    assert not sheet.total.known


@pytest.mark.parametrize(
    "net", [nn.Sequential(hooked(watched)), hooked(watched), nn.Sequential(nn.Conv1d(9, 9, 1), Padded(9))]
)
def test_what_only_watches_or_checks_is_no_reason_for_doubt(net: nn.Module) -> None:
    sheet = sc.describe(net, (9, 4))
    assert not sheet.unknown
    assert 2 * sheet.total.products == operations(net.eval(), torch.randn(1, 9, 4))


def test_behind_a_hook_that_changes_the_output_no_field_is_told() -> None:
    conv = nn.Conv1d(9, 9, 3, padding=1)
    assert sc.describe(nn.Sequential(conv, nn.ReLU()), (9, 40)).total.geometry is not None
    conv.register_forward_hook(lambda module, args, y: y.flip(2))
    assert sc.describe(nn.Sequential(conv, nn.ReLU()), (9, 40)).total.geometry is None


def test_a_row_with_hooks_shows_what_is_counted() -> None:
    row = str(sc.describe(sc.Sequential(hooked(watched)), (9, 4))).splitlines()[3].split()
    assert row[:8] == ["0", "Linear", "9", "x", "4", "20", ">=", str(LINEAR)]


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated:FutureWarning")  # what is tested
@pytest.mark.parametrize("wrap", [nn.Sequential, sc.Sequential, lambda linear: linear])
@pytest.mark.parametrize(
    "change",
    [
        nn.utils.weight_norm,
        nn.utils.spectral_norm,
        parametrizations.weight_norm,
        parametrizations.spectral_norm,
        parametrizations.orthogonal,
        lambda linear: prune.l1_unstructured(linear, "weight", 0.5),
    ],
)
def test_weights_made_of_weights_are_no_reason_for_doubt(
    change: Callable[[nn.Module], nn.Module], wrap: Callable[[nn.Module], nn.Module]
) -> None:
    sheet = sc.describe(wrap(change(nn.Linear(4, 4))), (9, 4))
    assert (sheet.unknown, sheet.total.multiply_adds) == ((), LINEAR)


class Applied(nn.Module):
    """A function of the frames that a known layer gives, 4 of 4 channels."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.function = nn.Linear(4, 4), function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.layer(x))


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda y: torch.addbmm(y[0], y, y), "addbmm"),
        (lambda y: torch.linalg.solve(y, y), "_linalg_solve_ex"),
        (torch.linalg.inv, "linalg_inv_ex"),
        (torch.linalg.cholesky, "linalg_cholesky_ex"),
        (torch.linalg.svdvals, "_linalg_svd"),
        (lambda y: torch.linalg.qr(y)[0], "linalg_qr"),
        (lambda y: torch.linalg.solve_triangular(y, y, upper=True), "linalg_solve_triangular"),
        (torch.linalg.matrix_exp, "linalg_matrix_exp"),
        (torch.linalg.det, "_linalg_det"),
        (lambda y: torch.pdist(y[0]), "_pdist_forward"),
    ],
)
def test_products_and_solutions_that_torch_does_not_count_are_named(
    function: Callable[[Tensor], Tensor], name: str
) -> None:
    assert sc.describe(Applied(function), (4, 4)).unknown == (f"{name} in Applied",)
