"""torch's own modules that a composition takes as they are: each works on one frame at a time, channels last."""

from __future__ import annotations

from torch import nn

ACTIVATIONS = (
    nn.CELU,
    nn.ELU,
    nn.GELU,
    nn.Hardshrink,
    nn.Hardsigmoid,
    nn.Hardswish,
    nn.Hardtanh,
    nn.Identity,
    nn.LeakyReLU,
    nn.LogSigmoid,
    nn.Mish,
    nn.PReLU,
    nn.ReLU,
    nn.ReLU6,
    nn.SELU,
    nn.SiLU,
    nn.Sigmoid,
    nn.Softplus,
    nn.Softshrink,
    nn.Softsign,
    nn.Tanh,
    nn.Tanhshrink,
    nn.Threshold,
)
DROPOUTS = (nn.Dropout, nn.AlphaDropout)
POINTWISE = (*ACTIVATIONS, *DROPOUTS, nn.Linear, nn.LayerNorm, nn.GLU)


def check_pointwise(module: nn.Module) -> None:
    """Raise unless `module` maps every frame by itself, with channels on the last axis.

    Raises:
        TypeError: a module that is not one of torch's elementwise activations, Linear, LayerNorm, GLU or Dropout.
        ValueError: such a module with settings that mix frames, or one that works in place.
    """
    kind = type(module).__name__
    if not isinstance(module, POINTWISE):
        raise TypeError(
            f"expected a speechconv layer, or torch's Linear, LayerNorm, GLU, Dropout or an elementwise activation; "
            f"got {kind}. Subclass speechconv.Layer to bring your own."
        )
    if getattr(module, "inplace", False):
        raise ValueError(
            f"{kind}(inplace=True) would overwrite what a skip or another branch still reads; use inplace=False."
        )
    if isinstance(module, nn.LayerNorm) and len(module.normalized_shape) != 1:
        raise ValueError(
            f"LayerNorm's normalized_shape (={tuple(module.normalized_shape)}) must be the channels alone; "
            "an axis more would mix frames."
        )
    if isinstance(module, nn.GLU) and module.dim not in (-1, 2):
        raise ValueError(f"GLU's dim (={module.dim}) must be -1: channels are the last axis.")
    if isinstance(module, nn.PReLU) and module.num_parameters != 1:
        raise ValueError(
            f"PReLU's num_parameters (={module.num_parameters}) must be 1: torch lays more along the frame axis."
        )


def takes(module: nn.Module) -> int | None:
    """Channels that `module` insists on; None where any number will do."""
    if isinstance(module, nn.Linear):
        return module.in_features
    return module.normalized_shape[0] if isinstance(module, nn.LayerNorm) else None


def channels_after(module: nn.Module, channels: int) -> int:
    """Channels that `module` makes of `channels`; ValueError where it does not take them."""
    expected = takes(module)
    if isinstance(module, nn.GLU):
        expected = max(2, channels - channels % 2)
    if expected not in (None, channels):
        raise ValueError(f"{type(module).__name__} takes {expected} channels, got {channels}.")
    if isinstance(module, nn.GLU):
        return channels // 2
    return module.out_features if isinstance(module, nn.Linear) else channels


def check_steppable(module: nn.Module) -> None:
    """ValueError where `module` is random in its present mode, so that a stream could not equal the offline answer."""
    if isinstance(module, DROPOUTS) and module.training and module.p > 0:
        raise ValueError("Dropout is on: call .eval() before streaming.")
