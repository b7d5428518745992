"""The families' costs against torch's flop counter, what autograd saves, and a stream's real state."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import speechconv as sc
from tests.cost.test_memory import saved
from tests.layers.families.layers import FAMILY_LAYERS


@pytest.mark.parametrize("name", FAMILY_LAYERS)
def test_every_family_multiplies_as_torch_counts(name: str) -> None:
    layer = FAMILY_LAYERS[name]().eval()
    channels = layer.in_channels or 6
    sheet = sc.describe(layer, (70, channels))
    with FlopCounterMode(display=False) as counter:
        y = layer(torch.randn(1, 70, channels))
    assert not sheet.unknown
    assert sheet.total.shape == y.shape[1:]
    assert 2 * sheet.total.products == counter.get_total_flops()


@pytest.mark.parametrize("name", FAMILY_LAYERS)
def test_every_family_keeps_what_autograd_saves_and_remembers_what_its_stream_holds(name: str) -> None:
    layer = FAMILY_LAYERS[name]()
    channels = layer.in_channels or 6
    sheet = sc.describe(layer, (70, channels))
    state = sc.Streamer(layer, channels=channels).init(batch=1)
    assert sheet.state_bytes == sum(tensor.nbytes for tensor in (*state.memories, state.age, state.remain))
    assert sheet.total.training_bytes == saved(layer, torch.randn(1, 70, channels))
