"""Compound scaling: depth, width and resolution by one number."""

from __future__ import annotations

from speechconv.checks import check_number
from speechconv.scaling.depth import scale_depth
from speechconv.scaling.resolution import scale_resolution
from speechconv.scaling.stage import Tables
from speechconv.scaling.width import scale_width
from speechconv.stages import Table


def scale_compound(
    tables: Tables,
    phi: float,
    *,
    alpha: float = 1.2,
    beta: float = 1.1,
    gamma: float = 1.15,
    divisor: int = 8,
    keep_output: bool = False,
    sample_rate: int = 16000,
) -> list[Table]:
    """The stages alpha^phi times as deep, beta^phi times as wide, with gamma^phi times as many frames a second.

    Args:
        tables: of the stages, as in a preset.
        phi: how much larger; 0 changes nothing, below 0 makes them smaller.
        alpha, beta, gamma: of depth, width and resolution, > 0. One step of phi costs alpha beta^2 gamma times as many
            multiply-adds a second, 1.67 with the paper's; 1.0 leaves one out, as gamma where no hop can be rounded.
        divisor, keep_output: as `scale_width`'s.
        sample_rate: of the pipeline, Hz, for stages that are made for one.

    Raises:
        ValueError: as the three others.

    Source: Tan and Le 2019, "EfficientNet", arXiv 1905.11946, equation 3 and section 4.

    Example:
        >>> block = {"stage": "inverted_residual", "in_channels": 80, "out_channels": 80}
        >>> tables = [{"stage": "stft", "output": "power"}, {"stage": "mel"}, {"stage": "log"}, block]
        >>> len(scale_compound(tables, 1)), scale_compound(tables, 1)[0]["hop_length"]
        (5, 139)
    """
    check_number("phi", phi)
    for name, value in (("alpha", alpha), ("beta", beta), ("gamma", gamma)):
        check_number(name, value, above=0)
    deeper = scale_depth(tables, alpha**phi, sample_rate=sample_rate)
    wider = scale_width(deeper, beta**phi, divisor=divisor, keep_output=keep_output, sample_rate=sample_rate)
    return scale_resolution(wider, gamma**phi, sample_rate=sample_rate)
