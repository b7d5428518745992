"""An example of every stage, as a table and built."""

from __future__ import annotations

import tomllib

from torch import nn

from speechconv.stages import Table, build_stages

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
    "conv_gating_unit": "channels = 4, kernel_size = 5, padding = [3, 1], linear = true, dropout = 0.25, eps = 1e-3",
    "conv_gating_mlp": """channels = 4, hidden_channels = 6, kernel_size = 5, padding = "causal", linear = true,
                          dropout = 0.25, eps = 1e-3""",
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
