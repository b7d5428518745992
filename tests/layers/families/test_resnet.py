"""ResidualBlock and BottleneckBlock: transformers' ResNet layers are the judges."""

from __future__ import annotations

import pytest
from torch import nn
from transformers.models.resnet.modeling_resnet import ResNetBasicLayer, ResNetBottleNeckLayer

import speechconv as sc
from tests.layers.families.judges import assert_equal_blocks


class BodyFirst(nn.Module):
    """Theirs, whose shortcut lies before its body, with the body's weights first as in ours."""

    def __init__(self, theirs: nn.Module) -> None:
        super().__init__()
        self.layer, self.shortcut = theirs.layer, theirs.shortcut
        self.forward = theirs.forward


each_shape = pytest.mark.parametrize(
    ("in_channels", "out_channels", "stride"), [(8, 8, 1), (8, 12, 1), (8, 8, 2), (8, 12, 2)]
)


@each_shape
def test_the_basic_block_is_transformers(in_channels: int, out_channels: int, stride: int) -> None:
    """Whose sum is the body's own tensor: a skip that is no projection in the first case alone."""
    ours = sc.ResidualBlock(in_channels, out_channels, stride=stride)
    assert isinstance(ours[0], sc.Residual) == ((in_channels, stride) == (out_channels, 1))
    assert_equal_blocks(ours, BodyFirst(ResNetBasicLayer(in_channels, out_channels, stride)))


@each_shape
def test_the_bottleneck_is_transformers(in_channels: int, out_channels: int, stride: int) -> None:
    ours = sc.BottleneckBlock(in_channels, out_channels, stride=stride)
    assert_equal_blocks(ours, BodyFirst(ResNetBottleNeckLayer(in_channels, out_channels, stride)))


def test_a_bottleneck_of_ones_own_width() -> None:
    ours = sc.BottleneckBlock(8, 12, bottleneck_channels=6)
    assert_equal_blocks(ours, BodyFirst(ResNetBottleNeckLayer(8, 12, reduction=2)))


def test_too_few_channels_for_a_quarter_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^out_channels \(=3\) must be an integer >= 4\.$"):
        sc.BottleneckBlock(8, 3)
    with pytest.raises(ValueError, match=r"^padding \(=\(1, 0\)\) must keep the number of frames"):
        sc.ResidualBlock(8, 8, padding=(1, 0))
