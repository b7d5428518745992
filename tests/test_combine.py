"""Sequential, Residual and Parallel against the same sums written out, and what they refuse."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import speechconv as sc
from speechconv.combine import Join


def test_sequential_takes_torch_modules_as_they_are() -> None:
    net = sc.Sequential(sc.Conv1d(3, 6, 1), nn.LayerNorm(6), nn.GELU(), nn.GLU(), nn.Linear(3, 5), nn.Dropout(0.5))
    x = torch.randn(2, 7, 3)
    expected = nn.Sequential(*list(net)[1:5])(net[0](x))
    torch.testing.assert_close(net.eval()(x), expected)
    assert isinstance(net[1], nn.LayerNorm)
    assert {"1.weight", "4.bias"} <= net.state_dict().keys()
    assert (net.in_channels, net.out_channels, len(net)) == (3, 5, 6)


@pytest.mark.parametrize(
    ("module", "kind", "message"),
    [
        (nn.Conv1d(3, 3, 3), TypeError, "got Conv1d. Subclass speechconv.Layer"),
        (nn.BatchNorm1d(3), TypeError, "got BatchNorm1d"),
        (nn.LayerNorm([7, 3]), ValueError, r"normalized_shape \(=\(7, 3\)\) must be the channels alone"),
        (nn.ReLU(inplace=True), ValueError, r"ReLU\(inplace=True\) would overwrite what a skip or another branch"),
        (nn.GLU(dim=1), ValueError, r"GLU's dim \(=1\) must be -1"),
        (nn.PReLU(3), ValueError, r"PReLU's num_parameters \(=3\) must be 1"),
    ],
)
def test_modules_that_mix_frames_are_refused(module: nn.Module, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        sc.Sequential(sc.Conv1d(3, 3, 1), module)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (sc.Conv1d(5, 1, 1), r"layer 1 \(Conv1d\): Conv1d takes 5 channels, got 4 channels"),
        (nn.Linear(3, 1), r"layer 1 \(Linear\): Linear takes 3 channels, got 4"),
        (nn.LayerNorm(3), "LayerNorm takes 3 channels, got 4"),
        (sc.ConvSTFT(5), "ConvSTFT takes a waveform, got 4 channels"),
    ],
)
def test_sequential_names_the_layer_that_does_not_fit(layer: nn.Module, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sc.Sequential(sc.Conv1d(2, 4, 3), layer)


def test_an_odd_number_of_channels_has_no_gated_half() -> None:
    with pytest.raises(ValueError, match="GLU takes 4 channels, got 5"):
        sc.Sequential(nn.Linear(3, 5), nn.GLU())


def test_residual_adds_the_scaled_body() -> None:
    body = sc.Conv1d(4, 4, 6, padding=(3, 2))
    x = torch.randn(2, 9, 4)
    torch.testing.assert_close(sc.Residual(body, scale=0.5)(x), x + 0.5 * body(x))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (sc.Conv1d(4, 4, 3), "pads"),
        (sc.Conv1d(4, 4, 3, stride=2, padding=(1, 1)), "got stride 2"),
        (sc.Conv1d(4, 5, 3, padding="same"), "must keep the channels, got 4 in and 5 out"),
    ],
)
def test_residual_refuses_a_body_that_changes_the_shape(body: sc.Layer, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sc.Residual(body)


@pytest.mark.parametrize("join", ["sum", "cat", "product"])
def test_parallel_joins_its_branches(join: Join) -> None:
    a, b = sc.Conv1d(3, 4, 5, stride=2, padding=(2, 0)), sc.Conv1d(3, 4, 9, stride=2, padding=(1, 5))
    x = torch.randn(2, 31, 3)
    expected = {"sum": a(x) + b(x), "product": a(x) * b(x), "cat": torch.cat((a(x), b(x)), 2)}[join]
    torch.testing.assert_close(sc.Parallel(a, b, join=join)(x), expected)


def test_parallel_takes_front_ends_on_one_waveform() -> None:
    """An uncentred STFT beside another whose frames lie on the same samples."""
    pair = sc.Parallel(
        sc.ConvSTFT(400, hop_length=320, center=False, output="power"),
        sc.ConvSTFT(400, hop_length=320, center=False, output="real_imag"),
        join="cat",
    )
    assert pair(torch.zeros(2, 1600)).shape == (2, 4, 603)
    assert sc.check_streaming(pair).worst <= 1e-12


@pytest.mark.parametrize(
    ("branches", "join", "message"),
    [
        ([sc.Conv1d(3, 4, 1)], "sum", "at least two branches, got 1"),
        ([sc.Conv1d(3, 4, 1), sc.Conv1d(3, 5, 1)], "sum", r"join='sum' needs branches of equal channels, got \[4, 5\]"),
        ([sc.Conv1d(3, 4, 1), sc.Conv1d(2, 4, 1)], "sum", r"must take the same input, got \[2, 3\] channels"),
        ([sc.Conv1d(3, 4, 1), sc.Conv1d(3, 4, 1, stride=2)], "sum", "must share their stride"),
        ([sc.Conv1d(3, 4, 1), sc.Conv1d(3, 4, 1)], "mean", r"join \(='mean'\) must be 'sum', 'cat' or 'product'"),
    ],
)
def test_parallel_refuses_branches_that_cannot_be_joined(branches: list[sc.Layer], join: Join, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sc.Parallel(*branches, join=join)


def test_a_too_short_input_gives_no_frames() -> None:
    net = sc.Sequential(sc.Conv1d(1, 4, 10, stride=5), nn.LayerNorm(4), nn.GELU(), sc.Conv1d(4, 6, 3, stride=2))
    for frames in (0, 1, 9, 10, 19):
        assert net(torch.zeros(2, frames, 1)).shape == (2, 0, 6)
    assert net(torch.zeros(2, 20, 1)).shape == (2, 1, 6)


@pytest.mark.parametrize(
    ("net", "channels", "takes"),
    [
        (sc.Sequential(nn.GLU(), sc.Conv1d(4, 4, 3)), 8, None),
        (sc.Sequential(nn.LayerNorm(8), nn.GLU(), sc.Conv1d(4, 4, 3)), 8, 8),
        (sc.Sequential(nn.ReLU(), sc.Conv1d(4, 4, 3)), 4, 4),
        (sc.Sequential(sc.Parallel(nn.ReLU(), nn.Identity(), join="cat"), nn.Linear(8, 4)), 4, None),
        (sc.Residual(sc.Sequential(sc.Parallel(nn.ReLU(), nn.Tanh(), join="cat"), nn.Linear(8, 4))), 4, None),
    ],
)
def test_a_chain_takes_what_its_first_layers_take(net: sc.Layer, channels: int, takes: int | None) -> None:
    assert net.in_channels == takes
    assert net(torch.zeros(1, 9, channels)).shape[2] == 4
    assert sc.check_streaming(net, channels=channels).worst <= 1e-12


def test_an_input_of_another_floating_type_is_refused_with_the_remedy() -> None:
    """soundfile reads float64; torch's own words for it name no remedy."""
    pipe = sc.Pipeline.from_preset("logmel")
    with pytest.raises(TypeError, match=r"Pipeline holds torch.float32, got an input of torch.float64; .*x.float\(\)"):
        pipe(torch.zeros(1, 900, dtype=torch.float64))


def test_an_empty_batch_gives_an_empty_batch() -> None:
    assert sc.Pipeline.from_preset("logmel")(torch.zeros(0, 1600)).shape == (0, 11, 80)
    assert sc.ConvSTFT(16, pad_mode="reflect")(torch.zeros(0, 320)).dtype == torch.complex64
    assert sc.Conv1d(2, 3, 3)(torch.zeros(0, 9, 2)).shape == (0, 7, 3)


def test_waveforms_have_no_channels_to_join_or_to_halve() -> None:
    with pytest.raises(ValueError, match="puts channels side by side, and a waveform has none"):
        sc.Parallel(sc.MuLaw(), sc.MuLaw(15), join="cat")
    with pytest.raises(ValueError, match="GLU takes 2 channels, got 0"):
        sc.Sequential(sc.MuLaw(), nn.GLU())
    both = sc.Parallel(sc.MuLaw(), sc.MuLaw(15))
    x = torch.rand(1, 10)
    torch.testing.assert_close(both(x), sc.MuLaw()(x) + sc.MuLaw(15)(x))
