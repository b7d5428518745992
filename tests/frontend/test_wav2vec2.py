"""FeatureEncoder against the encoders of transformers and torchaudio, and against plain convolutions."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Wav2Vec2Config
from transformers.models.wav2vec2.modeling_wav2vec2 import Wav2Vec2FeatureEncoder

import speechconv as sc
from speechconv.frontend import wav2vec2
from speechconv.moments import moments

LAYOUTS = [("group", False), ("group", True), ("layer", False), ("layer", True)]
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}  # of scale: DESIGN's, for what rounding alone makes differ


def perturb(net: Any, scale: float = 0.2) -> Any:
    """Every weight, norm and bias away from what it starts as."""
    for parameter in net.parameters():
        spread = scale if parameter.ndim == 1 else scale * float(parameter.detach().std())
        parameter.data += spread * torch.randn_like(parameter)
    return net


def reference(norm: str, bias: bool, channels: int = 48) -> Any:
    """With transformers' own initial weights of a whole model, which keep the signal's size, and then perturbed."""
    config = Wav2Vec2Config(feat_extract_norm=norm, conv_bias=bias, conv_dim=[channels] * 7)
    encoder = Wav2Vec2FeatureEncoder(config).eval()
    for layer in encoder.conv_layers:
        nn.init.kaiming_normal_(layer.get_parameter("conv.weight"))
    return perturb(encoder)


def twin(theirs: Any, norm: Any, bias: bool, **settings: Any) -> sc.FeatureEncoder:
    """Ours with the same weights: names and shapes agree as they are."""
    channels = len(theirs.state_dict()["conv_layers.0.conv.weight"])
    ours = sc.FeatureEncoder(channels=channels, norm=norm, bias=bias, **settings)
    ours.load_state_dict(theirs.state_dict())
    return ours.eval()


def speech(samples: int, rows: int = 1, *, offset: float = 0.0) -> Tensor:
    """Noise that a low pass has coloured, so that neighbouring samples correlate as in speech."""
    noise = torch.randn(rows, 1, samples + 15)
    return 0.1 * F.conv1d(noise, torch.hann_window(16)[None, None]).squeeze(1) + offset


def assert_close(y: Tensor, expected: Tensor, tolerance: float) -> None:
    assert y.shape == expected.shape
    assert (y - expected).abs().max() <= tolerance * expected.abs().max()


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("norm", "bias"), LAYOUTS)
def test_the_encoder_is_that_of_transformers(norm: str, bias: bool, dtype: torch.dtype) -> None:
    """With a graph and without, for a level and an offset that group norm must take away."""
    theirs = reference(norm, bias).to(dtype)
    ours = twin(theirs, norm, bias).to(dtype)
    x = speech(30000, 2, offset=0.3).to(dtype)
    expected = theirs(x).mT
    assert_close(ours(x), expected, TOLERANCE[dtype])
    with torch.no_grad():
        assert_close(ours(x), expected, TOLERANCE[dtype])


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_the_encoder_is_that_of_transformers_at_real_width(norm: str) -> None:
    theirs = reference(norm, norm == "layer", channels=512)
    ours = twin(theirs, norm, norm == "layer")
    x = speech(16000)
    with torch.no_grad():
        assert_close(ours(x), theirs(x).mT, 1e-5)
        assert_close(ours.double()(x.double()), theirs.double()(x.double()).mT, 1e-12)


@pytest.mark.parametrize(("norm", "bias"), LAYOUTS)
def test_every_block_is_that_of_transformers(norm: str, bias: bool) -> None:
    theirs = reference(norm, bias).double()
    ours = twin(theirs, norm, bias).double()
    x = speech(4000).double()
    with torch.no_grad():
        h = theirs.conv_layers[0](x[:, None])
        first = sc.FeatureEncoder(channels=48, kernel_sizes=(10,), strides=(5,), norm=ours.norm, bias=bias).double()
        first.load_state_dict({k: v for k, v in ours.state_dict().items() if k.startswith("conv_layers.0.")})
        assert_close(first(x), h.mT, 1e-12)
        for block, layer in zip(ours.blocks[1:], theirs.conv_layers[1:], strict=True):
            expected = layer(h)
            for tiled in (False, True):
                assert_close(block(h.mT, tiled=tiled), expected.mT, 1e-12)
            h = expected


@pytest.mark.parametrize(("mode", "norm"), [("group_norm", "group"), ("layer_norm", "layer")])
@pytest.mark.parametrize("bias", [False, True])
def test_the_encoder_is_that_of_torchaudio(mode: str, norm: Any, bias: bool) -> None:
    from torchaudio.models.wav2vec2.components import _get_feature_extractor

    shapes = [(24, k, s) for k, s in zip(wav2vec2.KERNEL_SIZES, wav2vec2.STRIDES, strict=True)]
    theirs = perturb(_get_feature_extractor(mode, shapes, bias).double().eval())
    ours = sc.FeatureEncoder(channels=24, norm=norm, bias=bias).double()
    ours.load_state_dict(theirs.state_dict())
    x = speech(9000).double()
    with torch.no_grad():
        assert_close(ours(x), theirs(x, None)[0], 1e-12)


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_gradients_are_those_of_transformers(norm: str) -> None:
    """Of every weight and of the waveform, through the statistics too."""
    theirs = reference(norm, True, channels=16).double()
    ours = twin(theirs, norm, True).double()
    x = speech(3000, 2).double()
    gradients = []
    for net in (theirs, ours):
        wav = x.clone().requires_grad_()
        y = net(wav)
        y = y.mT if net is theirs else y
        (y * torch.linspace(-1, 1, y.numel()).double().view(y.shape)).sum().backward()
        gradients.append([wav.grad, *(dict(net.named_parameters())[k].grad for k in theirs.state_dict())])
    for expected, own in zip(*gradients, strict=True):
        scale = max(1.0, float(expected.abs().max()))  # a bias that group norm cancels has none but rounding
        assert own is None or (own - expected).abs().max() <= 1e-11 * scale
        assert own is not None or expected.abs().max() <= 1e-11 * max(float(g.abs().max()) for g in gradients[0])


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_bfloat16_stays_within_two_percent_of_float32(norm: Any) -> None:
    encoder = sc.FeatureEncoder(norm=norm, bias=norm == "layer").eval()
    perturb(encoder)
    x = speech(16000, 2)
    with torch.no_grad():
        expected = encoder(x)
        y = encoder.bfloat16()(x.bfloat16())
    assert y.dtype == torch.bfloat16
    assert (y.float() - expected).norm() <= 0.02 * expected.norm()


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_tiles_give_what_the_whole_gives(norm: Any) -> None:
    """More frames than a tile, more rows than one, and a number of frames that no tile divides."""
    encoder = sc.FeatureEncoder(channels=8, norm=norm, bias=True).double().eval()
    perturb(encoder)
    tile = wav2vec2.TILE_BYTES // 8
    for rows, frames in ((1, 3 * tile + 7), (3, tile + 1), (2 * tile + 1, 1)):
        x = speech(320 * frames + 80 + 13, rows).double()
        with torch.no_grad():
            y = encoder(x)
        assert y.shape == (rows, frames, 8)
        assert_close(y, encoder(x).detach(), 1e-12)


def test_long_inputs_are_worked_on_in_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """No convolution sees more samples than a tile needs."""
    seen = []
    product = wav2vec2.dense_product
    monkeypatch.setattr(wav2vec2, "dense_product", lambda w, *rest: seen.append(w.shape[1]) or product(w, *rest))
    with torch.no_grad():
        sc.FeatureEncoder(channels=2, norm="layer").eval()(speech(16000 * 30))
    assert max(seen) <= 1.5 * wav2vec2.TILE_BYTES // 4 * 64 + 80  # conv 0 makes 64 frames for one


@pytest.mark.parametrize("bias", [False, True])
def test_ragged_batches_equal_their_rows_where_transformers_takes_the_padding_in(bias: bool) -> None:
    """Group norm over time: transformers normalises a short row by its padding as well."""
    theirs = reference("group", bias).double()
    ours = twin(theirs, "group", bias).double()
    lengths = [60000, 4000]
    rows = [speech(n).double()[0] for n in lengths]
    batch = torch.zeros(2, 60000, dtype=torch.float64)
    batch[0], batch[1, :4000] = rows[0], rows[1]
    poisoned = batch.clone()
    poisoned[1, 4000:] = torch.nan
    with torch.no_grad():
        y, frames = ours(poisoned, torch.tensor(lengths))
        alone = ours(rows[1][None])[0]
        scale = alone.abs().max()
        own = float((y[1, : int(frames[1])] - alone).abs().max() / scale)
        their_batch = theirs(batch).mT[1, : int(frames[1])]
        other = float((their_batch - theirs(rows[1][None]).mT[0]).abs().max() / scale)
    print(f"a padded row against it alone: ours {own:.1e} of scale, transformers {other:.2f}")  # noqa: T201 - `-s` shows it
    assert frames.tolist() == [187, 12]
    assert own <= 1e-12
    assert other >= 0.5, other


def test_autocast_gives_the_same_type_with_a_graph_and_without() -> None:
    encoder = sc.FeatureEncoder(channels=8, norm="layer").eval()
    x = speech(4000)
    with torch.autocast("cpu", torch.bfloat16):
        graph = encoder(x)
        with torch.no_grad():
            assert encoder(x).dtype == graph.dtype


def test_rows_without_a_frame_spoil_no_other_row() -> None:
    encoder = sc.FeatureEncoder(channels=8).double().eval()
    x = speech(4000, 3).double()
    lengths = torch.tensor([4000, 0, 9])
    y, frames = encoder(x, lengths)
    assert frames.tolist() == [12, 0, 0]
    assert not y[1:].any()
    assert_close(y[:1], encoder(x[:1]), 1e-12)


@pytest.mark.parametrize("group_norm", ["utterance", "cumulative"])
@pytest.mark.parametrize("samples", [0, 1, 9, 10, 399])
def test_input_too_short_for_a_frame_gives_none(group_norm: Any, samples: int) -> None:
    encoder = sc.FeatureEncoder(channels=4, group_norm=group_norm)
    assert encoder(torch.randn(2, samples)).shape == (2, 0, 4)
    assert encoder(torch.randn(0, 4000)).shape == (0, 12, 4)


def test_group_norm_says_live_what_it_needs_and_what_to_take_instead() -> None:
    chain = sc.Sequential(sc.FeatureEncoder(channels=4), nn.Linear(4, 2))
    with pytest.raises(sc.NotStreamable, match=r"0 cannot stream: .*whole utterance") as caught:
        sc.Session(chain)
    assert caught.value.path == "0"
    assert [words.split()[0] for words in caught.value.alternatives] == [
        "group_norm='frozen'",
        "group_norm='cumulative'",
        "a",
    ]


def test_frozen_statistics_are_those_that_were_given() -> None:
    """Frozen on one sound, another goes through: the same as conv, batch norm with those statistics, GELU."""
    theirs = reference("group", True).double()
    ours = twin(theirs, "group", True).double()
    given, x = speech(20000, offset=0.2).double(), speech(9000).double()
    with torch.no_grad():
        first = theirs.conv_layers[0]
        kept = first.conv(given[:, None])
        ours.freeze(moments(given, ours.window))
        ours.double()
        norm = first.layer_norm
        y = first.conv(x[:, None])
        y = F.batch_norm(y, kept.mean((0, 2)), kept.var((0, 2), correction=0), norm.weight, norm.bias, eps=norm.eps)
        y = F.gelu(y)
        for layer in theirs.conv_layers[1:]:
            y = layer(y)
        assert ours.group_norm == "frozen"
        assert_close(ours(x), y.mT, 1e-12)


def test_frozen_on_its_own_utterance_it_is_the_utterance_form() -> None:
    encoder = sc.FeatureEncoder(channels=8).double().eval()
    perturb(encoder)
    x = speech(20000).double()
    with torch.no_grad():
        expected = encoder(x)
        encoder.freeze(moments(x, encoder.window))
        session = sc.Session(encoder)
        live = torch.cat([session.push(x[0, :7777]), session.push(x[0, 7777:]), session.close()])
        assert_close(encoder(x), expected, 1e-12)
        assert_close(live, expected[0], 1e-12)


def test_frozen_without_statistics_says_how_to_get_some() -> None:
    encoder = sc.FeatureEncoder(channels=4, group_norm="frozen")
    needs: list[Callable[[], object]] = [lambda: encoder(torch.randn(1, 4000)), lambda: sc.Session(encoder)]
    for use in needs:
        with pytest.raises(ValueError, match=re.escape("never given; give it some audio: pipeline.calibrate")):
            use()


def test_cumulative_group_norm_is_the_group_norm_of_all_frames_so_far() -> None:
    """Frame by frame, by transformers' own norm on everything up to it: the slow judge."""
    theirs = reference("group", True, channels=6).double()
    ours = twin(theirs, "group", True, group_norm="cumulative").double()
    x = speech(2000, offset=0.5).double()
    first = theirs.conv_layers[0]
    with torch.no_grad():
        plain = first.conv(x[:, None])
        frames = [
            first.layer_norm(plain[..., : t + 1])[..., t] if t else first.layer_norm.bias[None] for t in range(399)
        ]
        y = F.gelu(torch.stack(frames, -1))
        for layer in theirs.conv_layers[1:]:
            y = layer(y)
        assert_close(ours(x), y.mT, 1e-12)


@pytest.mark.parametrize(
    ("kernel_sizes", "strides"), [((16,), (8,)), ((400, 1), (160, 1)), ((8, 5, 2), (3, 4, 5)), ((2, 7), (5, 1))]
)
@pytest.mark.parametrize("norm", ["group", "layer"])
def test_other_kernels_and_strides(kernel_sizes: tuple[int, ...], strides: tuple[int, ...], norm: Any) -> None:
    encoder = sc.FeatureEncoder(channels=6, kernel_sizes=kernel_sizes, strides=strides, norm=norm, bias=True).double()
    perturb(encoder)
    x = speech(3000).double()
    with torch.no_grad():
        h = x[:, None]
        for i, stride in enumerate(strides):
            block: Any = encoder.blocks[i]
            h = F.conv1d(h, block.conv.weight, block.conv.bias, stride)
            if norm == "group" and i == 0:
                h = block.layer_norm(h)
            if norm == "layer":
                h = block.layer_norm(h.mT).mT
            h = F.gelu(h)
        assert_close(encoder(x), h.mT, 1e-12)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"norm": "batch"}, r"norm \(='batch'\) must be one of"),
        ({"group_norm": "running"}, r"group_norm \(='running'\) must be one of"),
        ({"channels": 0}, r"channels \(=0\) must be an integer >= 1"),
        ({"kernel_sizes": (3, 3)}, r"kernel_sizes \(=\(3, 3\)\) and strides .* must be equally many"),
        ({"kernel_sizes": (), "strides": ()}, r"kernel_sizes \(=\(\)\) must be a tuple of integers >= 1, one for each"),
        ({"kernel_sizes": 10, "strides": 5}, r"kernel_sizes \(=10\) must be a tuple"),
        ({"kernel_sizes": (10, 0), "strides": (5, 1)}, r"kernel_sizes\[1\] \(=0\) must be an integer >= 1"),
        ({"bias": "yes"}, r"bias \(='yes'\)"),
    ],
)
def test_arguments_outside_their_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        sc.FeatureEncoder(**settings)
