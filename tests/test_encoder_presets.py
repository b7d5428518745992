"""Encoders of the families as presets: what each may cost, whose frames it gives, what its causal form waits for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import torch

import speechconv as sc
from benchmarks import budgets
from recipes.digits_ctc.config import ENCODERS
from speechconv.presets import preset_names, preset_text

FAMILIES = ("separable", "shuffle", "inverted-residual")
SHARES = (10, 5, 1)
LEAST = {10: 4.9, 5: 1.9, 1: 0.16}
"""Percent of its multiply-adds that none falls below: the share bounds time too, which binds first, as
`benchmarks.budgets` measures."""
NAMES = [f"{family}-{share}" for family in FAMILIES for share in SHARES]
each_encoder = pytest.mark.parametrize("name", NAMES)


def test_benchmark_and_recipe_take_all_of_them() -> None:
    twins = [name for name in preset_names() if f"{name}-causal" in preset_names()]
    assert sorted(NAMES) == sorted(set(twins) - {"full"}) == sorted(budgets.PRESETS) == sorted(ENCODERS)


@each_encoder
def test_it_costs_its_share_of_the_wav2vec2_encoder_and_no_more(name: str) -> None:
    whole = sc.describe(sc.FeatureEncoder(norm="layer"), sample_rate=16000).total
    own = sc.describe(sc.Pipeline.from_preset(name)).total
    causal = sc.describe(sc.Pipeline.from_preset(f"{name}-causal")).total
    assert own.multiply_adds_per_second is not None
    assert whole.multiply_adds_per_second is not None
    share = 100 * own.multiply_adds_per_second / whole.multiply_adds_per_second
    bound = int(name.rpartition("-")[2])
    assert LEAST[bound] <= share <= bound
    assert causal.multiply_adds_per_second == own.multiply_adds_per_second


@each_encoder
def test_it_gives_a_frame_wherever_the_wav2vec2_encoder_does(name: str) -> None:
    theirs = sc.FeatureEncoder().geometry
    for form in ("", "-causal"):
        pipe = sc.Pipeline.from_preset(name + form)
        assert (pipe.hop_length, pipe.output_dim) == (theirs.stride, 256)
        assert [pipe.output_lengths(n) for n in range(2401)] == [theirs.num_frames(n) for n in range(2401)]
        with torch.no_grad():
            assert pipe(torch.zeros(1, 1999)).shape[1] == theirs.num_frames(1999) == 5


@each_encoder
def test_its_causal_form_waits_for_the_spectrum_alone(name: str) -> None:
    pipe, causal = (sc.Pipeline.from_preset(name + form) for form in ("", "-causal"))
    assert causal.geometry.lookahead == sc.FeatureEncoder().geometry.lookahead == 399
    assert pipe.geometry.lookahead > 2500
    assert causal.geometry.receptive_field == pipe.geometry.receptive_field
    one, other = (tomllib.loads(preset_text(name + form).replace('"causal"', '"same"')) for form in ("", "-causal"))
    assert one["stages"] == other["stages"]


@each_encoder
def test_the_readme_states_its_cost(name: str) -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    (row,) = re.findall(rf"^\| `{name}` \| [^|]+ \| (.*) \|$", readme, re.MULTILINE)
    own = sc.describe(sc.Pipeline.from_preset(name)).total
    assert own.multiply_adds_per_second is not None
    assert own.geometry is not None
    assert row.split(" | ") == [
        f"{own.multiply_adds_per_second / 1e6:.1f} M",
        f"{own.multiply_adds_per_second / 24543232:.2f}",
        f"{own.parameters:,}",
        f"{own.geometry.lookahead / 16:.0f} ms",
    ]
