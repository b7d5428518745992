"""Pipelines that tests of several files take: every stage there is, trained weights, sameness."""

from __future__ import annotations

from typing import get_args

import torch
from torch import Tensor

import speechconv as sc
from speechconv.frontend.stft import Learn

LEARN: tuple[Learn | None, ...] = (None, *get_args(Learn))
STFT_CONV = """
sample_rate = 8000
[[stages]]
stage = "stft"
n_fft = 16
hop_length = 4
output = "power"
[[stages]]
stage = "conv1d"
in_channels = 9
out_channels = 5
kernel_size = 3
padding = "same"
"""
FEATURE_STAGES = """
sample_rate = 8000
stages = [
    {stage = "preemphasis"}, {stage = "minimum_length", num_samples = 500}, {stage = "affine", scale = 2.0},
    {stage = "kaldi_stft", win_length = 64, hop_length = 16}, {stage = "mel", n_mels = 6, scale = "kaldi"},
    {stage = "log", additive = true}, {stage = "dynamic_range", top = 5.0}, {stage = "dct", n_mfcc = 4},
    {stage = "lifter"}, {stage = "cmvn", channels = 4}, {stage = "sliding_cmvn", window = 5, min_window = 2},
    {stage = "deltas", order = 1}, {stage = "stack_frames"}, {stage = "relu"}, {stage = "pcen"}]
"""
WAVEFORM_STAGES = """
description = "each registered stage that takes a waveform, the stft aside"
sample_rate = 8000

[[stages]]
stage = "normalize"
eps = 1e-6

[[stages]]
stage = "mu_law"
mu = 15

[[stages]]
stage = "parallel"
join = "cat"
branches = [
    [{stage = "feature_encoder", channels = 3, kernel_sizes = [5, 8], strides = [5, 8], bias = true}],
    [{stage = "wavenet_encoder", channels = 2, residual_channels = 3, dilations = [1, 4], hop_length = 40}],
]
"""
FAMILY_STAGES = """
description = "each convolution family once"
sample_rate = 8000
stages = [
    {stage = "stft", n_fft = 64, hop_length = 10, output = "power"}, {stage = "mel", n_mels = 12}, {stage = "log"},
    {stage = "conv_block", in_channels = 12, out_channels = 8, kernel_size = 3, stride = 2},
    {stage = "max_pool1d", kernel_size = 3, stride = 2, padding = "same"},
    {stage = "pointwise_conv", in_channels = 8, out_channels = 8, groups = 2},
    {stage = "mlpconv", in_channels = 8, out_channels = 8, kernel_size = 3, hidden_channels = [6, 4]},
    {stage = "separable_conv", in_channels = 8, out_channels = 12, kernel_size = 3, kind = "xception"},
    {stage = "channel_shuffle", channels = 12, groups = 3},
    {stage = "shuffle_unit", in_channels = 12, out_channels = 24, stride = 2},
    {stage = "inverted_residual", in_channels = 24, out_channels = 8, expansion = 2, norm = "layer"},
    {stage = "fire", in_channels = 8, out_channels = 8, squeeze_channels = 2, padding = "causal"},
    {stage = "inception", in_channels = 8, pointwise_channels = 2, reduced_channels = [2, 1], \
     branch_channels = [3, 2], pool_channels = 1, kernel_sizes = [3, 5]},
    {stage = "residual_block", in_channels = 8, out_channels = 8},
    {stage = "bottleneck_block", in_channels = 8, out_channels = 16},
    {stage = "gated_conv", in_channels = 16, out_channels = 8, kernel_size = 3},
    {stage = "dilated_stack", channels = 8, dilations = [1, 2]},
    {stage = "conv_gating_unit", channels = 8, kernel_size = 5},
    {stage = "conv_gating_mlp", channels = 4, hidden_channels = 8, kernel_size = 5},
    {stage = "lightweight_conv", channels = 4, kernel_size = 3, heads = 2},
    {stage = "lightweight_conv_module", channels = 4, kernel_size = 3, heads = 2},
    {stage = "squeeze_excitation", channels = 4}, {stage = "avg_pool1d", kernel_size = 2}]
"""
EVERY_STAGE = """
description = "each registered stage that takes frames once, and the stft, compositions nested"
sample_rate = 8000

[[stages]]
stage = "stft"
n_fft = 64
hop_length = 20
win_length = 50
window = ["kaiser", 8.0]
center = true
pad_mode = "constant"
learn = "delta"
output = "power"

[[stages]]
stage = "mel"
name = "bands"
n_mels = 12
f_min = 50.0
scale = "htk"
norm = "none"
learn = true

[[stages]]
stage = "log"
floor = 1e-8

[[stages]]
stage = "conv1d"
in_channels = 12
out_channels = 8
kernel_size = 3
stride = 2
padding = [2, 0]

[[stages]]
stage = "layer_norm"
channels = 8

[[stages]]
stage = "linear"
in_features = 8
out_features = 8

[[stages]]
stage = "relu"
[[stages]]
stage = "gelu"
approximate = "tanh"
[[stages]]
stage = "silu"
[[stages]]
stage = "tanh"
[[stages]]
stage = "sigmoid"
[[stages]]
stage = "glu"
[[stages]]
stage = "dropout"
p = 0.25

[[stages]]
stage = "sequential"
layers = [{stage = "linear", in_features = 4, out_features = 4}, {stage = "relu"}]

[[stages]]
stage = "residual"
scale = 0.5
body = [
    {stage = "conv1d", in_channels = 4, out_channels = 4, kernel_size = 5, padding = "same"},
    {stage = "residual", body = [{stage = "layer_norm", channels = 4}, {stage = "silu"}]},
]

[[stages]]
stage = "conv_subsampling"
channels = 4
in_channels = 4
factor = 2
padding = "causal"

[[stages]]
stage = "wavenet_stack"
channels = 4
dilations = [1, 3]

[[stages]]
stage = "conv_positional_embedding"
channels = 4
kernel_size = 6
groups = 2
padding = "causal"

[[stages]]
stage = "conformer_conv_module"
channels = 4
kernel_size = 5
bias = true

[[stages]]
stage = "batch_norm"
channels = 4
[[stages]]
stage = "cumulative_norm"
channels = 4

[[stages]]
stage = "parallel"
join = "cat"
branches = [
    [{stage = "conv1d", in_channels = 4, out_channels = 2, kernel_size = 5, padding = "causal"}, {stage = "relu"}],
    [{stage = "parallel", join = "product", branches = [[{stage = "sigmoid"}], [{stage = "tanh"}, {stage = "silu"}]]}],
]

[[stages]]
stage = "conv1d"
in_channels = 6
out_channels = 3
kernel_size = 1
"""


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def trained(pipe: sc.Pipeline) -> sc.Pipeline:
    """`pipe` with weights that no constructor makes, biases and deviations included."""
    with torch.no_grad():
        for parameter in pipe.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return pipe


def assert_same(pipe: sc.Pipeline, other: sc.Pipeline) -> None:
    """The same stages, names, weights, types and answers, bit by bit."""
    assert other.to_toml() == pipe.to_toml()
    weights, others = pipe.state_dict(), other.state_dict()
    assert others.keys() == weights.keys()
    for name, weight in weights.items():
        assert others[name].dtype == weight.dtype
        assert torch.equal(others[name], weight)
    dtype = next((weight.dtype for weight in weights.values()), torch.float32)
    x = noise(2, 900).to(dtype)
    with torch.no_grad():
        assert torch.equal(other(x), pipe(x))
