"""Constants that survive every cast: float64 is kept, each dtype is one rounding of it."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn

from speechconv.exact import ExactConstants

THIRDS = torch.arange(1, 4, dtype=torch.float64) / 3  # no binary float holds a third


class Thirds(ExactConstants):
    """Frames times a third, two thirds and three thirds."""

    def __init__(self) -> None:
        super().__init__()
        self.register_exact("factors", THIRDS)
        self.scale = nn.Parameter(torch.tensor(2.0))

    def valid(self, x: Tensor) -> Tensor:
        return x * self.exact("factors") * self.scale


def test_a_module_made_in_float32_and_cast_holds_the_float64_values() -> None:
    layer = Thirds()
    assert torch.equal(layer.exact("factors"), THIRDS.float())
    assert torch.equal(layer.double().exact("factors"), THIRDS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_narrow_dtype_and_back_costs_nothing(dtype: torch.dtype) -> None:
    layer = Thirds().to(dtype)
    assert torch.equal(layer.exact("factors"), THIRDS.to(dtype))
    assert torch.equal(layer.double().exact("factors"), THIRDS)


def test_a_cast_of_what_holds_the_layer_reaches_its_constants() -> None:
    net = nn.ModuleDict({"inner": nn.ModuleList([Thirds()])}).half().double()
    layer = net.get_submodule("inner.0")
    assert isinstance(layer, Thirds)
    assert torch.equal(layer.exact("factors"), THIRDS)
    assert layer.scale.dtype == torch.float64


def test_constants_come_back_from_the_meta_device() -> None:
    layer = Thirds().double().to("meta")
    assert layer.exact("factors").is_meta
    assert torch.equal(layer.to_empty(device="cpu").exact("factors"), THIRDS)


def test_copies_and_pickles_stay_exact() -> None:
    layer = Thirds()
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin.double().exact("factors"), THIRDS)
    assert layer.exact("factors").dtype == torch.float32


def test_constants_are_not_weights() -> None:
    layer = Thirds()
    assert list(layer.state_dict()) == ["scale"]
    assert [name for name, _ in layer.named_parameters()] == ["scale"]
    layer.load_state_dict({"scale": torch.tensor(3.0)})
    assert torch.equal(layer(torch.ones(1, 1, 3))[0, 0], 3 * THIRDS.float())


def test_a_module_made_under_another_default_dtype_takes_it() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        layer = Thirds()
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(layer.exact("factors"), THIRDS)
    assert torch.equal(layer.float().exact("factors"), THIRDS.float())
