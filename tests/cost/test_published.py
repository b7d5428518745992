"""describe against tables that others have published, number by number."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchaudio.models.wav2vec2 import components

import speechconv as sc
from speechconv.cost import Stage
from speechconv.frontend.wav2vec2 import Norm
from tests.cost.networks import alexnet, lenet5, mobilenet, vgg16

CS231N = (  # VGGNet in detail: side of the output, its channels, weights
    (224, 64, 1_728),
    (224, 64, 36_864),
    (112, 64, 0),
    (112, 128, 73_728),
    (112, 128, 147_456),
    (56, 128, 0),
    (56, 256, 294_912),
    (56, 256, 589_824),
    (56, 256, 589_824),
    (28, 256, 0),
    (28, 512, 1_179_648),
    (28, 512, 2_359_296),
    (28, 512, 2_359_296),
    (14, 512, 0),
    (14, 512, 2_359_296),
    (14, 512, 2_359_296),
    (14, 512, 2_359_296),
    (7, 512, 0),
    (1, 4096, 102_760_448),
    (1, 4096, 16_777_216),
    (1, 1000, 4_096_000),
)


def leaves(stage: Stage) -> list[Stage]:
    return [row for row in stage.walk() if not row.parts]


def sums(stage: Stage, kind: str) -> tuple[int, int]:
    """Weights and multiply-adds of all layers of a kind."""
    rows = [row for row in leaves(stage) if row.kind == kind]
    return sum(row.weights for row in rows), sum(row.multiply_adds for row in rows)


def test_vgg_16_is_cs231n_s_table_layer_by_layer() -> None:
    """Its activations are in place, which the table does not list."""
    sheet = sc.describe(vgg16(), (3, 224, 224))
    rows = [row for row in leaves(sheet.total) if row.kind in ("Conv2d", "MaxPool2d", "Linear")]
    assert [(row.activation_bytes // 4, row.weights) for row in rows] == [
        (side * side * channels, weights) for side, channels, weights in CS231N
    ]
    assert sheet.total.parameters == 138_357_544
    assert not sheet.unknown


def test_vgg_16_s_forward_memory_is_the_sum_of_cs231n_s_rows() -> None:
    """The rows, input included, are 15.2 M values. The total that is printed below them, 24 M and 93 MB, is no sum of
    theirs (cs231n/cs231n.github.io, issue 88)."""
    sheet = sc.describe(vgg16(), (3, 224, 224))
    rows = 224 * 224 * 3 + sum(side * side * channels for side, channels, _ in CS231N)
    assert sheet.forward_bytes == 4 * rows == 4 * 15_237_608


def test_vgg_16_s_outputs_are_those_of_torchsummary() -> None:
    """Its README: 218.59 MB forward and backward, twice all outputs; those of two dropouts, which write nothing in
    inference, among them."""
    sheet = sc.describe(vgg16(inplace=False), (3, 224, 224))
    assert round(2 * (sheet.total.activation_bytes + 2 * 4096 * 4) / 2**20, 2) == 218.59


def test_vgg_16_lies_on_its_picture_as_google_s_table_of_receptive_fields_says() -> None:
    """google-research/receptive_field: 212, stride 32, padding 90, 30.71 GFLOP up to the last pooling, biases added."""
    convolutions = sc.describe(vgg16(), (3, 224, 224)).stages[0]
    g = convolutions.geometry
    assert g is not None
    assert (g.receptive_field, g.stride, g.pad_left) == (212, 32, 90)
    biases = sum(row.activation_bytes // 4 for row in leaves(convolutions) if row.kind == "Conv2d")
    assert round((2 * convolutions.multiply_adds + biases) / 1e9, 2) == 30.71


def test_alexnet_is_its_paper_s_first_layer_and_sze_s_table() -> None:
    """Sze et al. 2017, arXiv 1703.09039, table II: 61 M weights and 724 M multiply-adds; 2.3 M and 666 M of them in
    convolutions, 58.6 M and 58.6 M in the others."""
    sheet = sc.describe(alexnet(), (3, 227, 227))
    first = sheet.stages[0]
    assert (first.shape, first.parameters) == ((96, 55, 55), 34_944)
    assert sheet.total.parameters == 60_965_224
    assert round(sheet.total.multiply_adds / 1e6) == 724
    for kind, weights, multiply_adds in (("Conv2d", 2.3, 665.8), ("Linear", 58.6, 58.6)):
        assert tuple(round(number / 1e6, 1) for number in sums(sheet.total, kind)) == (weights, multiply_adds)


def test_lenet_5_has_the_parameters_and_connections_of_its_paper() -> None:
    """LeCun et al. 1998, section II.B; a connection is a multiply-add, or a bias."""
    sheet = sc.describe(lenet5(), (1, 32, 32))
    rows = {row.name: row for row in sheet.stages}
    published = {"C1": (156, 122_304), "C3": (1_516, 151_600), "C5": (48_120, 48_120), "F6": (10_164, 10_164)}
    for name, (parameters, connections) in published.items():
        row = rows[name]
        values = torch.Size(row.shape).numel()
        assert (row.parameters, row.multiply_adds + values) == (parameters, connections)
    assert [rows[name].shape for name in ("C1", "S2", "C3", "S4", "C5")] == [
        (6, 28, 28),
        (6, 14, 14),
        (16, 10, 10),
        (16, 5, 5),
        (120, 1, 1),
    ]


def test_mobilenet_is_its_paper_s_tables_2_and_4() -> None:
    """569 M mult-adds and 4.2 M parameters, where full convolutions have 4866 M (without the last layer) and 29.3 M. Of
    the mult-adds, 94.86 % are in 1 x 1 convolutions, 3.06 % in depthwise ones, 0.18 % in the last layer; of the
    weights, 74.59, 1.06 and 24.33 %."""
    net = mobilenet(separable=True)
    sheet = sc.describe(net, (3, 224, 224))
    full = sc.describe(mobilenet(separable=False), (3, 224, 224))
    assert round(sheet.total.multiply_adds / 1e6) == 569
    assert round(sums(full.total, "Conv2d")[1] / 1e6) == 4866
    assert [round(s.total.parameters / 1e6, 1) for s in (sheet, full)] == [4.2, 29.3]
    rows = list(zip(sheet.stages, net, strict=True))
    groups = {
        "1 x 1": [row for row, part in rows if isinstance(part, nn.Conv2d) and part.kernel_size == (1, 1)],
        "depthwise": [row for row, part in rows if isinstance(part, nn.Conv2d) and part.groups > 1],
        "last": [sheet.stages[-1]],
    }
    shares = {
        name: (
            round(100 * sum(row.multiply_adds for row in group) / sheet.total.multiply_adds, 2),
            round(100 * sum(row.weights for row in group) / sheet.total.weights, 2),
        )
        for name, group in groups.items()
    }
    assert shares == {"1 x 1": (94.86, 74.59), "depthwise": (3.06, 1.06), "last": (0.18, 24.33)}


@pytest.mark.parametrize("filters", [128, 512, 1024])
def test_a_separable_3_x_3_convolution_saves_8_to_9_times(filters: int) -> None:
    """MobileNets, section 3.1: its share is 1 / N + 1 / K^2; C K^2 + N C weights and C + N biases."""
    channels = 64
    separable = nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1, groups=channels), nn.Conv2d(channels, filters, 1)
    )
    standard = nn.Conv2d(channels, filters, 3, padding=1)
    ours, whole = (sc.describe(net, (channels, 14, 14)).total for net in (separable, standard))
    assert ours.multiply_adds / whole.multiply_adds == pytest.approx(1 / filters + 1 / 9, rel=1e-12)
    assert 8 < whole.multiply_adds / ours.multiply_adds < 9
    assert ours.parameters == channels * 9 + filters * channels + channels + filters


@pytest.mark.parametrize(("norm", "bias"), [("group", False), ("layer", True)])
def test_the_wav2vec2_encoder_costs_2_45_g_a_second(norm: Norm, bias: bool) -> None:
    """And as much as torchaudio's for the same second, but for the moments that stand for a pass of the group norm."""
    sheet = sc.describe(sc.FeatureEncoder(norm=norm, bias=bias), sample_rate=16000)
    g, rate = sheet.total.geometry, sheet.total.multiply_adds_per_second
    assert g is not None
    assert (g.receptive_field, g.stride) == (400, 320)
    assert rate is not None
    assert round(rate / 1e9, 2) == 2.45

    mode = "group_norm" if norm == "group" else "layer_norm"
    layers = [(512, 10, 5)] + [(512, 3, 2)] * 4 + [(512, 2, 2)] * 2
    with torch.device("meta"):
        peer = components._get_feature_extractor(mode, layers, bias)
    theirs = sc.describe(Waveform(peer), 16000)
    own_norms = [f"peer.conv_layers.{i}.layer_norm (LayerNorm), which replaces LayerNorm's forward" for i in range(7)]
    assert list(theirs.unknown) == ([] if norm == "group" else own_norms)
    assert sheet.total.parameters == theirs.total.parameters
    windows = 3199
    moments = windows * 10**2 + 512 * 10 + 512 * 10**2 if norm == "group" else 0
    assert sheet.total.multiply_adds - moments == theirs.total.multiply_adds


class Waveform(nn.Module):
    """torchaudio's encoder without lengths."""

    def __init__(self, peer: nn.Module) -> None:
        super().__init__()
        self.peer = peer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.peer(x, None)[0]
