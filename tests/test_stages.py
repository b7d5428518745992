"""Stages by name: every table builds its module and is written again as it was read."""

from __future__ import annotations

import inspect

import pytest
import torch

import speechconv as sc
from speechconv.stages import HANDED_DOWN, IMPLIED, PARTS, READ_ONCE, STAGES, UNSTORED, build_stages, describe_stage
from tests.stage_examples import BOUND, EXAMPLES, SHAPES, build, example
from tests.weights import fill


def test_every_stage_has_an_example_that_sets_every_argument() -> None:
    assert set(EXAMPLES) == set(STAGES)
    for kind, module in STAGES.items():
        if module in PARTS:
            continue
        arguments = inspect.signature(module).parameters
        own = {key for key, p in arguments.items() if key not in HANDED_DOWN or p.default is not p.empty}
        own -= {"args", "kwargs"}  # Tanh and Sigmoid have no signature of their own
        own -= UNSTORED | READ_ONCE | IMPLIED.get(module, {}).keys()
        table = example(kind)
        assert own == table.keys() - {"stage"}
        for key in own:
            assert table[key] != arguments[key].default or (kind, key) in BOUND


@pytest.mark.parametrize("kind", STAGES)
def test_a_stage_is_written_as_it_was_read_and_computes_the_same(kind: str) -> None:
    layer = build(example(kind))
    table = describe_stage(layer)
    twin = build(table)
    assert type(layer) is STAGES[kind]
    assert describe_stage(twin) == table
    assert all(table[key] == value for key, value in example(kind).items() if not isinstance(value, list))

    fill(layer, exact=False, seed=0)
    with torch.no_grad():
        twin.load_state_dict(layer.state_dict())
        x = torch.rand(SHAPES.get(kind, (2, 9, 4)))
        assert torch.equal(twin(x), layer(x))


def test_values_reach_the_module() -> None:
    """What the examples say, as the modules see it."""
    stft, mel, conv = (build(example(kind)) for kind in ("stft", "mel", "conv1d"))
    assert isinstance(stft, sc.ConvSTFT)
    assert (stft.n_fft, stft.hop_length, stft.win_length, stft.window) == (60, 24, 50, ("kaiser", 8.0))
    assert (stft.center, stft.pad_mode, stft.drop_last) == (True, "reflect", True)
    assert (stft.learn, stft.output) == ("window", "power")
    uncentred = build({"stage": "stft", "center": False})
    assert isinstance(uncentred, sc.ConvSTFT)
    assert uncentred.center is describe_stage(uncentred)["center"] is False
    assert isinstance(mel, sc.Mel)
    assert (mel.n_mels, mel.sample_rate, mel.n_fft, mel.scale, mel.norm) == (10, 8000, 64, "htk", None)
    assert isinstance(conv, sc.Conv1d)
    assert conv.geometry == sc.Geometry(receptive_field=5, stride=2, pad_left=1, pad_right=2)
    assert (conv.groups, conv.bias) == (2, None)


@pytest.mark.parametrize(
    ("kind", "geometry", "out_channels"),
    [
        ("normalize", sc.Geometry(), 0),
        ("mu_law", sc.Geometry(), 0),
        ("feature_encoder", sc.Geometry(4 + 2 * 3, 6), 6),
        ("wavenet_encoder", sc.Geometry(1 + 2 * 5 + 19, 20, 2 * 5), 5),
        ("conv_subsampling", sc.Geometry(3, 2, 2), 6),
        ("wavenet_stack", sc.Geometry(13, 1, 6, 6), 5),
        ("conv_positional_embedding", sc.Geometry(5, 1, 3, 1), 4),
        ("conformer_conv_module", sc.Geometry(5, 1, 1, 3), 4),
        ("pointwise_conv", sc.Geometry(1, 2), 6),
        ("conv_block", sc.Geometry(5, 2, 1, 2), 6),
        ("mlpconv", sc.Geometry(3, 2, 2), 6),
        ("separable_conv", sc.Geometry(5, 2, 1, 2), 6),
        ("channel_shuffle", sc.Geometry(), 4),
        ("shuffle_unit", sc.Geometry(5, 2, 1, 3), 8),
        ("inverted_residual", sc.Geometry(5, 2, 4), 8),
        ("fire", sc.Geometry(5, 1, 3, 1), 6),
        ("inception", sc.Geometry(5, 1, 3, 1), 2 + 1 + 2 + 3 + 4),
        ("residual_block", sc.Geometry(5 + 2 * 4, 2, 3 + 2 * 3, 1 + 2), 6),
        ("bottleneck_block", sc.Geometry(5, 2, 3, 1), 6),
        ("gated_conv", sc.Geometry(5, 2, 1, 2), 6),
        ("dilated_stack", sc.Geometry(1 + 3 * 3, 1, 3, 6), 4),
        ("conv_gating_unit", sc.Geometry(5, 1, 3, 1), 2),
        ("conv_gating_mlp", sc.Geometry(5, 1, 4), 4),
        ("lightweight_conv", sc.Geometry(5, 1, 3, 1), 4),
        ("lightweight_conv_module", sc.Geometry(5, 1, 3, 1), 4),
        ("squeeze_excitation", sc.Geometry(), 4),
        ("batch_norm", sc.Geometry(), 4),
        ("cumulative_norm", sc.Geometry(), 4),
    ],
)
def test_values_reach_the_layer(kind: str, geometry: sc.Geometry, out_channels: int) -> None:
    layer = build(example(kind))
    assert isinstance(layer, sc.Layer)
    assert layer.geometry == geometry
    assert layer.channels_after(layer.in_channels or 0) == out_channels


def _needs_nothing(kind: str) -> bool:
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = inspect.signature(STAGES[kind]).parameters.values()
    return STAGES[kind] not in (*PARTS, *IMPLIED) and all(
        p.default is not p.empty for p in parameters if p.kind in named
    )


@pytest.mark.parametrize("kind", list(filter(_needs_nothing, STAGES)))
def test_defaults_are_written_and_read_again(kind: str) -> None:
    """Also where torch's own word for a default is "none", as GELU's."""
    layer = STAGES[kind]()
    assert build(describe_stage(layer)).extra_repr() == layer.extra_repr()


def test_an_stft_hands_its_n_fft_to_the_stages_behind_it() -> None:
    tables = [
        {"stage": "stft", "n_fft": 512, "output": "power"},
        {"stage": "residual", "body": [{"stage": "relu"}]},
        {"stage": "sequential", "layers": [{"stage": "mel", "n_mels": 20}, {"stage": "log"}]},
    ]
    _, _, chain = build_stages(tables, {"sample_rate": 16000}, "my.toml")
    assert isinstance(chain, sc.Sequential)
    assert isinstance(chain[0], sc.Mel)
    assert (chain[0].n_fft, chain[0].sample_rate) == (512, 16000)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_body_of_any_length_keeps_the_names_of_its_weights(count: int) -> None:
    """A Sequential of one layer must not become the layer itself, or a saved file would not load."""
    body = sc.Sequential(*(sc.LayerNorm(4) for _ in range(count)))
    for layer in (sc.Residual(body), sc.Residual(sc.LayerNorm(4)), sc.Parallel(body, sc.LayerNorm(4))):
        twin = build(describe_stage(layer))
        assert twin.state_dict().keys() == layer.state_dict().keys()
