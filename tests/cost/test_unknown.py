"""What has no rule is named, and not taken for nothing; one's own rules are taken."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import speechconv as sc
from speechconv.cost.rules import RULES, Work, rule


class OwnWeight(nn.Module):
    """Multiplies by a matrix that is no module's."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.randn(4, 4))
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(x @ self.matrix)


class Scaled(nn.Module):
    """Has a parameter of its own and multiplies nothing that torch's counter would see."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.act = nn.Parameter(torch.ones(4)), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.scale * x)


class Attention(nn.Module):
    """Multiplies activations with each other, between two modules that are known."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.value = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        q = self.query(x)
        return torch.softmax(q @ q.mT, -1) @ self.value(x)


class Doubled(nn.Linear):
    """A kind that is known, computing as it does not."""

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(super().forward(input), self.weight)


class OwnLayer(sc.Layer):
    in_channels = out_channels = 4

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.randn(4, 4))

    def valid(self, x: Tensor) -> Tensor:
        return x @ self.matrix


class Squared(sc.Conv1d):
    def valid(self, x: Tensor) -> Tensor:
        return super().valid(super().valid(x))


class Twice(sc.Sequential):
    """A chain that does not run as one."""

    def offline(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        return super().offline(super().offline(x, lengths), lengths)


class Pooled(nn.Module):
    """Sums up frames by a buffer: a matrix by a vector, which torch's counter does not see."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(4, 4)
        self.register_buffer("window", torch.ones(9))

    def forward(self, x: Tensor) -> Tensor:
        return self.project(x).mT[0] @ self.window


class Spectrum(nn.Module):
    """An FFT between modules that are known."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.rfft(self.project(x), dim=1).abs()


class Prefix(nn.Module):
    """Calls nothing, has no parameters, and mixes frames."""

    def forward(self, x: Tensor) -> Tensor:
        return x.cumsum(1)


class SelfAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.heads(x, x, x)[0]


KNOWN = 9 * 4 * 4
"""Multiply-adds of a Linear(4, 4) on 9 frames, which stands beside what is unknown."""

UNKNOWN = (
    (nn.Sequential(nn.Linear(4, 4), nn.LSTM(4, 4, batch_first=True)), ["1 (LSTM)"], KNOWN),
    (nn.Sequential(nn.Linear(4, 4), nn.ConvTranspose1d(9, 3, 2)), ["1 (ConvTranspose1d)"], KNOWN),
    (nn.Sequential(nn.Linear(4, 4), OwnWeight()), ["1 (OwnWeight)"], KNOWN),
    (nn.Sequential(nn.Linear(4, 4), Scaled()), ["1 (Scaled)"], KNOWN),
    (nn.Sequential(nn.Linear(4, 4), SelfAttention()), ["1.heads (MultiheadAttention)"], KNOWN),
    (nn.Sequential(Attention(), nn.ReLU()), ["bmm in 0 (Attention)"], 2 * KNOWN),
    (nn.Sequential(Pooled()), ["mv in 0 (Pooled)"], KNOWN),
    (nn.Sequential(Spectrum()), ["_fft_r2c in 0 (Spectrum)"], KNOWN),
    (nn.Sequential(nn.Linear(4, 4), Prefix()), ["1 (Prefix)"], KNOWN),
    (nn.Sequential(Doubled(4, 4)), ["0 (Doubled), which replaces Linear's forward"], 0),
    (nn.Sequential(nn.Linear(4, 4), OwnLayer()), ["1 (OwnLayer)"], KNOWN),
    (OwnLayer(), ["OwnLayer"], 0),
    (sc.Sequential(nn.Linear(4, 4), sc.Residual(OwnLayer())), ["1.body (OwnLayer)"], KNOWN),
    (sc.Parallel(Squared(4, 4, 1), nn.Linear(4, 4)), ["0 (Squared), which replaces Conv1d's valid"], KNOWN),
    (sc.Sequential(Twice(nn.Linear(4, 4)), nn.Linear(4, 4)), ["0 (Twice)"], KNOWN),
)


@pytest.mark.parametrize(("net", "named", "known"), UNKNOWN)
def test_what_has_no_rule_is_named_and_the_rest_is_counted(net: nn.Module, named: list[str], known: int) -> None:
    sheet = sc.describe(net, (9, 4))
    assert list(sheet.unknown) == named
    assert sheet.total.multiply_adds == known
    assert not sheet.total.known
    assert json.loads(sheet.to_json())["at_least"] is True
    lines = str(sheet).splitlines()
    assert f"not counted: {named[0]}" in lines
    assert any(line.startswith("multiply-adds") and " at least " in line for line in lines)


def test_an_unknown_row_says_so_where_others_have_a_number() -> None:
    rows = [line.split() for line in str(sc.describe(sc.Sequential(OwnLayer(), nn.Linear(4, 4)), (9, 4))).splitlines()]
    assert rows[3][:2] == ["0", "OwnLayer"]
    assert rows[3][6] == "unknown"
    assert rows[5][:4] == ["total", "36", ">=", "144"]


def test_what_a_module_calls_is_known_by_itself() -> None:
    """A class of one's own is no reason for doubt where all it does is call modules with rules."""

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.second(F.relu(self.first(x)))

    sheet = sc.describe(Own(), (9, 4))
    assert not sheet.unknown
    assert sheet.total.multiply_adds == 2 * KNOWN
    assert [stage.name for stage in sheet.stages] == ["first", "second"]


class Swish(nn.Module):
    """An activation of one's own; of its input it may give a view."""

    def forward(self, x: Tensor) -> Tensor:
        return (x * (1.702 * x).sigmoid())[:, 1:]


@pytest.mark.parametrize("plain", [Swish, nn.Sequential])
def test_what_works_value_by_value_needs_no_rule(plain: type[nn.Module]) -> None:
    """An empty Sequential, a shortcut in many a residual network, does not even that."""
    sheet = sc.describe(nn.Sequential(nn.Linear(4, 4), plain()), (9, 4))
    assert not sheet.unknown
    assert sheet.total.multiply_adds == KNOWN
    assert sheet.total.known


def test_a_module_with_parameters_that_does_not_run_is_no_reason_for_doubt() -> None:
    class OneOfTwo(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Linear(4, 4), Scaled()

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x)

    assert not sc.describe(OneOfTwo(), (9, 4)).unknown


class Around(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.act = inner, nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.inner(x))


@pytest.mark.parametrize("shared", [nn.Linear(4, 4), sc.PointwiseConv(4, 4)])
def test_a_module_in_two_parents_has_a_row_in_each_under_its_first_path(shared: nn.Module) -> None:
    sheet = sc.describe(nn.Sequential(Around(shared), Around(shared)), (9, 4))
    rows = [row for row in sheet.total.walk() if not row.parts]
    assert [(row.name, row.path, row.multiply_adds) for row in rows] == [
        ("inner", "0.inner", KNOWN),
        ("act", "0.act", 0),
        ("0.inner", "0.inner", KNOWN),
        ("act", "1.act", 0),
    ]
    assert (sheet.total.parameters, sheet.total.multiply_adds) == (20, 2 * KNOWN)


def test_layers_of_a_chain_that_a_module_runs_one_by_one_are_known() -> None:
    class OneByOne(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.chain = sc.Sequential(sc.Conv1d(4, 4, 3, padding="same"), nn.ReLU(), nn.Linear(4, 4))

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.chain:
                x = layer(x)
            return x

    sheet = sc.describe(OneByOne(), (9, 4))
    assert not sheet.unknown
    assert [stage.multiply_adds for stage in sheet.stages] == [3 * KNOWN, 0, KNOWN]


def test_a_module_that_runs_twice_has_two_rows() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shared = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.shared(self.shared(x))

    sheet = sc.describe(Own(), (9, 4))
    assert [stage.multiply_adds for stage in sheet.stages] == [KNOWN, KNOWN]
    assert sheet.total.parameters == 20


@pytest.fixture
def ruled() -> Iterator[None]:
    """A rule for `OwnLayer`, for one test."""
    rule(OwnLayer)(lambda layer, x, y: Work(y[0] * layer.matrix.numel()))
    yield
    del RULES[OwnLayer]


@pytest.mark.usefixtures("ruled")
def test_a_rule_makes_a_layer_known() -> None:
    sheet = sc.describe(sc.Sequential(OwnLayer(), OwnLayer()), (9, 4))
    assert not sheet.unknown
    assert sheet.total.multiply_adds == 2 * KNOWN


def test_layers_inside_a_module_of_torch_are_described_as_by_themselves() -> None:
    pipe = sc.Pipeline.from_preset("full-causal")

    class Recogniser(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.front, self.head = pipe, nn.Linear(256, 30)

        def forward(self, wav: Tensor) -> Tensor:
            frames, _ = self.front(wav, torch.full((len(wav),), wav.shape[1]))
            return self.head(frames).log_softmax(-1)

    sheet, alone = sc.describe(Recogniser(), 16000), sc.describe(pipe)
    front, head = sheet.stages
    assert (front.shape, front.multiply_adds, front.geometry) == (
        alone.total.shape,
        alone.total.multiply_adds,
        alone.total.geometry,
    )
    assert [part.path for part in front.parts] == [f"front.{stage.path}" for stage in alone.stages]
    assert front.activation_bytes == alone.total.activation_bytes
    assert front.peak_bytes == alone.total.peak_bytes + torch.int64.itemsize  # the lengths stand too
    assert head.multiply_adds == 49 * 256 * 30
    assert not sheet.unknown


def test_a_complex_layer_inside_a_module_of_torch_stays_complex() -> None:
    class Parts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stft, self.head = sc.ConvSTFT(64, hop_length=16), nn.Linear(2, 1)

        def forward(self, wav: Tensor) -> Tensor:
            return self.head(torch.view_as_real(self.stft(wav)))

    assert sc.describe(Parts(), 1000).total.shape == (63, 33, 1)
