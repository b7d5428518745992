"""Blocks of other people, or put together from torch's own modules, as judges of ours: the same weights, outputs and
gradients. Theirs are made for images; frames are an image of one column, of which a square filter meets its middle one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

import speechconv as sc

EXACT = 1e-12
"""Of the largest expected value, in float64."""


def lent(ours: sc.Layer, theirs: nn.Module) -> nn.Module:
    """`theirs` in float64 with weights and statistics drawn for both, which lie in both in the same order."""
    theirs.double()
    own, others = list(ours.state_dict().values()), list(theirs.state_dict().values())
    assert len(own) == len(others)
    for tensor, other in zip(own, others, strict=True):
        if tensor.is_floating_point():
            drawn = 0.3 * torch.randn(tensor.shape, dtype=torch.float64)
            tensor.copy_(drawn.abs() + 0.5 if tensor.ndim == 1 else drawn)  # a variance is positive
            middle(other, tensor).copy_(tensor.view(middle(other, tensor).shape))
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.momentum = sc.BatchNorm(1).momentum
    return theirs.train(ours.training)


def middle(theirs: Tensor, ours: Tensor) -> Tensor:
    """What of a square filter meets an image of one column; any other tensor as it is."""
    square = theirs.ndim == 4 and theirs.shape[3] > 1 and theirs.numel() > ours.numel()
    return theirs[..., theirs.shape[3] // 2] if square else theirs


def as_image(x: Tensor) -> Tensor:
    """(batch, frames, channels) -> (batch, channels, frames, 1)"""
    return x.transpose(1, 2)[..., None]


def as_frames(y: Tensor) -> Tensor:
    return y[..., 0].transpose(1, 2)


def off(y: Tensor, expected: Tensor) -> float:
    """Largest difference, as a share of the largest expected value."""
    assert y.shape == expected.shape
    assert expected.any()
    return float((y - expected).detach().abs().max() / expected.detach().abs().max())


def assert_equal_blocks(ours: sc.Layer, theirs: nn.Module, *, frames: tuple[int, ...] = (40, 17, 1)) -> None:
    """Outputs, and the gradients of the input and of every weight, in inference and in training, for even and odd
    lengths; after training the statistics too."""
    for training in (False, True):
        ours.double().train(training)
        lent(ours, theirs)
        for count in frames[: 2 if training else None]:
            x = 2 * torch.randn(3, count, ours.in_channels or 0, dtype=torch.float64) + 0.1
            _assert_equal_answers(ours, theirs, x)
    for buffer, other in zip(ours.buffers(), theirs.buffers(), strict=True):
        assert off(buffer.double(), other.double()) <= EXACT


def _assert_equal_answers(ours: sc.Layer, theirs: nn.Module, x: Tensor) -> None:
    x, twin = x.clone().requires_grad_(), x.clone().requires_grad_()
    y, expected = ours(x), as_frames(theirs(as_image(twin)))
    assert off(y, expected) <= EXACT
    probe = torch.randn_like(y)
    ours.zero_grad()
    theirs.zero_grad()
    (y * probe).sum().backward()
    (expected * probe).sum().backward()
    assert x.grad is not None
    assert twin.grad is not None
    scale = max(1.0, *(float(p.grad.abs().max()) for p in theirs.parameters() if p.grad is not None))
    assert (x.grad - twin.grad).abs().max() <= 10 * EXACT * scale
    for (name, parameter), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert parameter.grad is not None, name
        assert other.grad is not None, name
        wanted = middle(other.grad, parameter).view(parameter.shape)
        assert (parameter.grad - wanted).abs().max() <= 10 * EXACT * scale, name
