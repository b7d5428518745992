"""DilatedStack: torch's dilated convolutions one behind the other are the judge."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import speechconv as sc
from tests.layers.families.judges import assert_equal_blocks

CONTEXT = (1, 1, 2, 4, 8, 16, 1)


class Context(nn.Module):
    """Yu and Koltun's module, with or without skips."""

    def __init__(self, channels: int, dilations: tuple[int, ...], *, norm: bool, residual: bool) -> None:
        super().__init__()
        self.residual = residual
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, channels, 3, padding=d, dilation=d, bias=not norm),
                nn.BatchNorm2d(channels) if norm else nn.Identity(),
                nn.ReLU(),
            )
            for d in dilations
        )

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = x + layer(x) if self.residual else layer(x)
        return x


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("norm", ["batch", None])
@pytest.mark.parametrize("dilations", [(1, 2, 4), CONTEXT, (3,)])
def test_it_is_torchs_convolutions_one_behind_the_other(dilations: Any, norm: Any, residual: bool) -> None:
    ours = sc.DilatedStack(4, dilations=dilations, norm=norm, residual=residual)
    theirs = Context(4, dilations, norm=norm is not None, residual=residual)
    assert_equal_blocks(ours, theirs)


def test_the_window_of_the_context_module_is_the_papers() -> None:
    """Table 1: 3, 5, 9, 17, 33, 65, 67 on each axis."""
    windows = [
        sc.DilatedStack(4, dilations=CONTEXT[:depth]).geometry.receptive_field for depth in range(1, len(CONTEXT) + 1)
    ]
    assert windows == [3, 5, 9, 17, 33, 65, 67]


@pytest.mark.parametrize(
    ("padding", "pads"), [("causal", (9, 0)), ("same", (3 + 1, 3 + 2)), ((2, 1), (6, 3)), ((0, 3), (0, 9))]
)
def test_pads_are_in_taps(padding: Any, pads: tuple[int, int]) -> None:
    """Dilations 2 and 1 of 4 taps; "same" of each as torch's."""
    g = sc.DilatedStack(4, kernel_size=4, dilations=(2, 1), padding=padding).geometry
    assert (g.pad_left, g.pad_right) == pads


def test_a_causal_stack_sees_no_later_frame() -> None:
    stack = sc.DilatedStack(4, padding="causal").eval()
    x = torch.randn(1, 20, 4)
    later = x.clone()
    later[:, 12:] += 1
    with torch.no_grad():
        assert torch.equal(stack(x)[:, :12], stack(later)[:, :12])
        assert not torch.equal(stack(x)[:, 12], stack(later)[:, 12])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dilations": ()}, r"^dilations \(=\(\)\) must be a tuple of integers >= 1, one for each layer\.$"),
        ({"residual": 1}, r"^residual \(=1\) must be True or False"),
        ({"padding": (1, 0)}, r"^padding \(=\(1, 0\)\) must keep the number of frames: left \+ right must be 2"),
    ],
)
def test_arguments_outside_their_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sc.DilatedStack(4, **options)
