"""SpecAugment's holes where there is little to make holes in."""

from __future__ import annotations

import pytest
import torch

from recipes.ctc.spec_augment import Holes, SpecAugment


@pytest.mark.parametrize(
    "holes", [Holes(0, 10, 0, 0.5), Holes(3, 0, 3, 0.0), Holes(3, 0, 0, 0.5)], ids=["none", "narrow", "no stretches"]
)
def test_no_holes_or_holes_of_no_width_leave_the_frames(holes: Holes) -> None:
    frames = torch.randn(2, 40, 8)
    for seed in range(5):
        assert torch.equal(SpecAugment(holes, seed)(frames, torch.tensor([40, 12])), frames)
