"""Tensors of others into ours: all of them or none, and whatever does not fit is listed in full.

missing     ours that theirs do not fill
extra       theirs that ours have no place for
misshaped   of another shape than ours
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

Found = Mapping[str, tuple[str, Tensor]]
"""Our name -> (their key, the tensor)."""


@torch.no_grad()
def fill(
    ours: Mapping[str, Tensor],
    found: Found,
    complaint: str,
    *,
    extra: Iterable[str] = (),
    contradictions: Sequence[str] = (),
) -> None:
    """Copy each tensor into ours of that name, in ours' dtype.

    Args:
        ours: parameters and buffers to overwrite.
        found: what to put in.
        complaint: first words of the error.
        extra: keys of theirs that have no name here.
        contradictions: other faults, a line each.

    Raises:
        ValueError: a contradiction, or anything missing, extra or misshaped; nothing has been overwritten then.

    >>> fill({"w": torch.zeros(2), "b": torch.zeros(2)}, {"w": ("weight", torch.ones(3))}, "x.pt does not fit")
    Traceback (most recent call last):
    ValueError: x.pt does not fit:
      missing: b
      misshaped: weight is (3,), expected (2,)
    """
    faults = [*contradictions, *_misfits(ours, found, extra)]
    if faults:
        raise ValueError("\n  ".join((f"{complaint}:", *faults)))
    for name, (_, tensor) in found.items():
        ours[name].copy_(tensor)


def _misfits(ours: Mapping[str, Tensor], found: Found, extra: Iterable[str]) -> list[str]:
    """One line for each kind of fault, with all of that kind; none where all fits."""
    homeless = {key for name, (key, _) in found.items() if name not in ours}
    misshaped = {
        f"{key} is {tuple(tensor.shape)}, expected {tuple(ours[name].shape)}"
        for name, (key, tensor) in found.items()
        if name in ours and tensor.shape != ours[name].shape
    }
    kinds = {"missing": ours.keys() - found.keys(), "extra": homeless.union(extra), "misshaped": misshaped}
    return [f"{kind}: {', '.join(sorted(names))}" for kind, names in kinds.items() if names]
