"""Stages by name: every table builds its module and is written again as it was read."""

from __future__ import annotations

import inspect
import re
import tomllib
from typing import Any

import pytest
import torch
from torch import nn

import speechconv as sc
from speechconv.stages import (
    HANDED_DOWN,
    IMPLIED,
    PARTS,
    READ_ONCE,
    STAGES,
    UNSTORED,
    Table,
    build_stages,
    check_known,
    describe_stage,
)
from tests.weights import fill

CONTEXT = {"sample_rate": 8000, "n_fft": 64, "n_mels": 4}

# One table for each stage, no value its default; shapes that go in.
EXAMPLES: dict[str, str] = {
    "stft": """n_fft = 60, hop_length = 24, win_length = 50, window = ["kaiser", 8.0], periodic = false, center = true,
               drop_last = true, pad_mode = "reflect", learn = "window", output = "power" """,
    "kaldi_stft": """win_length = 50, hop_length = 24, n_fft = 60, window = "blackman", remove_dc_offset = false,
                     preemphasis = 0.5, scale = 2.0, dither = 0.25, seed = 3, snip_edges = false,
                     output = "magnitude" """,
    "mel": 'n_mels = 10, f_min = 50.0, f_max = 3000.0, scale = "htk", norm = "none", learn = true',
    "log": 'floor = 1e-6, base = "db", additive = true',
    "pcen": "gain = 0.8, bias = 3.0, power = 0.25, smoothing = 0.04, eps = 1e-3",
    "deltas": 'order = 1, width = 3, rule = "librosa-interp"',
    "cmvn": """channels = 4, statistics = "frozen", norm_vars = false, correction = 1, eps = 1e-3,
               eps_on = "deviation" """,
    "sliding_cmvn": "window = 5, min_window = 2, center = true, norm_vars = true",
    "stack_frames": "n = 3",
    "dynamic_range": "top = 0.5",
    "affine": "scale = 0.25, offset = 1.5",
    "preemphasis": "coefficient = 0.5",
    "minimum_length": "num_samples = 400",
    "dct": 'n_mfcc = 3, norm = "none"',
    "lifter": 'coefficient = 9.5, kind = "librosa"',
    "normalize": 'statistics = "frozen", eps = 1e-3',
    "mu_law": "mu = 100, quantize = true",
    "feature_encoder": """channels = 6, kernel_sizes = [4, 3], strides = [3, 2], norm = "layer", bias = true,
                          group_norm = "cumulative" """,
    "wavenet_encoder": "channels = 5, residual_channels = 3, kernel_size = 3, dilations = [1, 2, 1], hop_length = 20",
    "conv_subsampling": 'channels = 6, in_channels = 4, factor = 2, kind = "depthwise", padding = "causal"',
    "wavenet_stack": """channels = 3, kernel_size = 3, dilations = [1, 2], stacks = 2, skip_channels = 5,
                        condition_channels = 1, causal = false""",
    "conv_positional_embedding": "channels = 4, kernel_size = 5, groups = 2, padding = [3, 1]",
    "conformer_conv_module": """channels = 4, kernel_size = 5, padding = [1, 3], norm = "layer", bias = true,
                                dropout = 0.25""",
    "conv1d": """in_channels = 4, out_channels = 6, kernel_size = 3, stride = 2, dilation = 2, groups = 2, bias = false,
                 padding = [1, 2]""",
    "pointwise_conv": "in_channels = 4, out_channels = 6, stride = 2, groups = 2, bias = false",
    "conv_block": """in_channels = 4, out_channels = 6, kernel_size = 3, stride = 2, dilation = 2, groups = 2,
                     padding = [1, 2], norm = "layer", activation = "gelu" """,
    "mlpconv": """in_channels = 4, out_channels = 6, kernel_size = 3, hidden_channels = [5, 7], stride = 2,
                  padding = "causal" """,
    "separable_conv": """in_channels = 4, out_channels = 6, kernel_size = 3, stride = 2, dilation = 2, padding = [1, 2],
                         kind = "xception", norm = "none" """,
    "channel_shuffle": "channels = 4, groups = 2",
    "shuffle_unit": """in_channels = 4, out_channels = 8, groups = 2, kernel_size = 5, stride = 2, padding = [1, 3],
                       norm = "layer" """,
    "inverted_residual": """in_channels = 4, out_channels = 8, expansion = 2, kernel_size = 5, stride = 2,
                            padding = "causal", norm = "none" """,
    "fire": "in_channels = 4, out_channels = 6, squeeze_channels = 2, kernel_size = 5, padding = [3, 1]",
    "inception": """in_channels = 4, pointwise_channels = 2, reduced_channels = [3, 2, 1], branch_channels = [1, 2, 3],
                    pool_channels = 4, kernel_sizes = [2, 3, 4], pool_size = 5, padding = [3, 1], norm = "batch" """,
    "residual_block": """in_channels = 4, out_channels = 6, kernel_size = 5, stride = 2, padding = [3, 1],
                         norm = "layer" """,
    "bottleneck_block": """in_channels = 4, out_channels = 6, bottleneck_channels = 2, kernel_size = 5, stride = 2,
                           padding = [3, 1], norm = "layer" """,
    "gated_conv": """in_channels = 4, out_channels = 6, kernel_size = 3, stride = 2, dilation = 2, padding = [1, 2],
                     bias = false""",
    "dilated_stack": """channels = 4, kernel_size = 4, dilations = [2, 1], padding = [1, 2], norm = "none",
                        residual = false""",
    "conv_gating_unit": "channels = 4, kernel_size = 5, padding = [3, 1], linear = true, dropout = 0.25",
    "conv_gating_mlp": """channels = 4, hidden_channels = 6, kernel_size = 5, padding = "causal", linear = true,
                          dropout = 0.25""",
    "lightweight_conv": "channels = 4, kernel_size = 5, heads = 2, padding = [3, 1], bias = false",
    "lightweight_conv_module": "channels = 4, kernel_size = 5, heads = 2, padding = [3, 1]",
    "squeeze_excitation": 'channels = 4, hidden_channels = 3, statistics = "utterance"',
    "max_pool1d": "kernel_size = 4, stride = 2, padding = [2, 1]",
    "avg_pool1d": "kernel_size = 4, stride = 2, padding = [2, 1], count_include_pad = false",
    "layer_norm": "channels = 4, eps = 1e-3",
    "batch_norm": "channels = 4, eps = 1e-3, momentum = 0.25",
    "cumulative_norm": "channels = 4, eps = 1e-3",
    "linear": "in_features = 4, out_features = 3, bias = false",
    "relu": "",
    "gelu": 'approximate = "tanh"',
    "silu": "",
    "tanh": "",
    "sigmoid": "",
    "glu": "",
    "dropout": "p = 0.25",
    "celu": "alpha = 2.0",
    "elu": "alpha = 2.0",
    "hardshrink": "lambd = 0.25",
    "hardsigmoid": "",
    "hardswish": "",
    "hardtanh": "min_val = -0.5, max_val = 0.25",
    "identity": "",
    "leaky_relu": "negative_slope = 0.5",
    "log_sigmoid": "",
    "mish": "",
    "prelu": "init = 0.5",
    "relu6": "",
    "selu": "",
    "softplus": "beta = 2.0, threshold = 10.0",
    "softshrink": "lambd = 0.25",
    "softsign": "",
    "tanhshrink": "",
    "threshold": "threshold = 0.1, value = 20.0",
    "alpha_dropout": "p = 0.25",
    "sequential": 'layers = [{stage = "linear", in_features = 4, out_features = 2}, {stage = "relu"}]',
    "residual": """scale = 0.5, body = [
        {stage = "layer_norm", channels = 4},
        {stage = "conv1d", in_channels = 4, out_channels = 4, kernel_size = 3, padding = "same"}]""",
    "parallel": """join = "cat", branches = [
        [{stage = "conv1d", in_channels = 4, out_channels = 2, kernel_size = 5, padding = "same"}],
        [{stage = "residual", body = [{stage = "sequential", layers = [{stage = "silu"}]}]}, {stage = "tanh"}],
        [{stage = "parallel", join = "product", branches = [[{stage = "relu"}], [{stage = "sigmoid"}]]}]]""",
}
BOUND = {("stft", "center")}
"""Arguments whose other value the rest of the example excludes: drop_last needs a centred stft."""

WAVEFORM = (2, 300)
SHAPES: dict[str, tuple[int, ...]] = {
    "mel": (2, 9, 33),
    **dict.fromkeys(
        (
            "stft",
            "kaldi_stft",
            "preemphasis",
            "minimum_length",
            "normalize",
            "mu_law",
            "feature_encoder",
            "wavenet_encoder",
        ),
        WAVEFORM,
    ),
}


def example(kind: str) -> Table:
    """The example as tomllib reads it (TOML keeps inline tables on one line)."""
    text = f'stage = "{kind}", {EXAMPLES[kind]}'.strip().rstrip(",")
    return tomllib.loads("table = {" + " ".join(text.split()) + "}")["table"]


def build(table: Table) -> nn.Module:
    (layer,) = build_stages([table], CONTEXT, "my.toml")
    return layer.eval()


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
    """What the tables above say, as the modules see it."""
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


def test_a_layer_of_ones_own_has_no_stage_name() -> None:
    class Own(sc.Layer):
        pass

    with pytest.raises(
        TypeError, match=r"^Own has no stage name, so it cannot be written as TOML; the stages are stft, "
    ):
        describe_stage(sc.Residual(Own()))


ACCEPTED_STAGES = ", ".join(STAGES)
STFT_KEYS = "n_fft, hop_length, win_length, window, periodic, center, pad_mode, drop_last, learn, output"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, f"a stage in my.toml has no key 'stage'; name one of {ACCEPTED_STAGES}."),
        (
            {"stage": "stfd"},
            f"unknown stage 'stfd' in my.toml; did you mean 'stft'? Accepted: {ACCEPTED_STAGES}.",
        ),
        ({"stage": "xyzzy"}, f"unknown stage 'xyzzy' in my.toml; Accepted: {ACCEPTED_STAGES}."),
        ({"stage": 5}, f"unknown stage 5 in my.toml; Accepted: {ACCEPTED_STAGES}."),
        (
            {"stage": "stft", "hop_size": 160},
            f"unknown key 'hop_size' in stage 'stft' of my.toml; did you mean 'hop_length'? Accepted: {STFT_KEYS}.",
        ),
        (
            {"stage": "relu", "inplace": True},
            "unknown key 'inplace' in stage 'relu' of my.toml; Accepted: none.",
        ),
        (
            {"stage": "glu", "dim": 1},
            "unknown key 'dim' in stage 'glu' of my.toml; Accepted: none.",
        ),
        (
            {"stage": "mel", "sample_rate": 8000},
            "sample_rate of stage 'mel' of my.toml is handed down by the pipeline; leave it out.",
        ),
        (
            {"stage": "mel", "n_fft": 400},
            "n_fft of stage 'mel' of my.toml is handed down by the stft before it; leave it out.",
        ),
        ({"stage": "stft", "n_fft": 0}, "stage 'stft' of my.toml: n_fft (=0) must be an integer >= 1."),
        ({"stage": "linear", "in_features": 4}, "stage 'linear' of my.toml: "),
        ({"stage": "residual"}, "stage 'residual' of my.toml needs the key 'body', a list of stages."),
        (
            {"stage": "parallel", "join": "sum"},
            "stage 'parallel' of my.toml needs the key 'branches', a list of stages.",
        ),
        (
            {"stage": "residual", "body": [{"stage": "relu"}], "scales": 0.5},
            "unknown key 'scales' in stage 'residual' of my.toml; did you mean 'scale'? Accepted: scale.",
        ),
        (
            {"stage": "sequential", "layers": [{"stage": "relu"}], "scale": 0.5},
            "unknown key 'scale' in stage 'sequential' of my.toml; Accepted: none.",
        ),
        (
            {"stage": "residual", "body": [{"stage": "rely"}]},
            f"unknown stage 'rely' in stage 'residual' of my.toml; did you mean 'relu'? Accepted: {ACCEPTED_STAGES}.",
        ),
        (
            {"stage": "residual", "body": {"stage": "relu"}},
            "stages in stage 'residual' of my.toml must be a list of tables, [[stages]] or [{stage = ...}]; got {",
        ),
        (
            {"stage": "parallel", "branches": [{"stage": "relu"}, {"stage": "tanh"}]},
            "stages in stage 'parallel' of my.toml must be a list of tables, [[stages]] or [{stage = ...}]; got {",
        ),
        (
            {"stage": "sequential", "layers": "relu"},
            "stages in stage 'sequential' of my.toml must be a list of tables, [[stages]] or [{stage = ...}]; got 'r",
        ),
    ],
    ids=str,
)
def test_a_refused_table_is_named_with_what_is_possible(table: Table, message: str) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(message)}"):
        build_stages([table], CONTEXT, "my.toml")


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ({"n_fft": 400}, "stage 'mel' of my.toml needs sample_rate from the pipeline, and there is none."),
        ({"sample_rate": 8000}, "stage 'mel' of my.toml needs n_fft from the stft before it, and there is none."),
    ],
    ids=["sample_rate", "n_fft"],
)
def test_a_stage_that_lacks_what_is_handed_down_says_from_whom(context: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(message)}$"):
        build_stages([{"stage": "mel"}], context, "my.toml")


def test_known_names_pass_and_the_nearest_is_offered_to_others() -> None:
    check_known(["log", "mel"], ("mel", "log", "stft"), "stage", "my.toml")
    check_known([], (), "stage", "my.toml")
    with pytest.raises(
        ValueError, match=r"^unknown key 'n_mel' in x; did you mean 'n_mels'\? Accepted: f_min, n_mels\.$"
    ):
        check_known(["f_min", "n_mel"], ("f_min", "n_mels"), "key", "x")
