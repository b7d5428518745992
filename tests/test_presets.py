"""The presets: the law with few channels in full, and with the real ones where it could break; what each declares."""

from __future__ import annotations

import functools
import tomllib
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import speechconv as sc
from speechconv.presets import preset_names, preset_text
from tests.law import (
    assert_close,
    assert_gradients_through_a_stream,
    assert_rows_stand_alone,
    ragged_lengths,
    signal,
    stream,
)
from tests.traffic import assert_random_traffic
from tests.weights import fill

EXACT, FLOAT = 1e-12, 1e-5  # DESIGN's, relative to the largest expected value
CALIBRATED = ("wav2vec2-base", "wav2vec2-large")
with warnings.catch_warnings():  # torchaudio's presets have bands without an FFT bin, as torchaudio has
    warnings.filterwarnings("ignore", "[0-9]+ of 128 mel bands hold no FFT bin")
    TRAINABLE = [name for name in preset_names() if list(sc.Pipeline.from_preset(name).parameters())]
each_preset = pytest.mark.parametrize("name", TRAINABLE)

WIDTHS = {11: 3, 40: 6, 80: 6, 96: 8, 512: 8, 592: 14, 144: 16, 256: 16, 768: 16, 1024: 32, 64: 4}
WIDTHS |= {656: 8, 416: 7, 112: 6, 1280: 16, 704: 16, 104: 8, 184: 6}  # of the encoders' blocks
WIDE_KEYS = ("channels", "residual_channels", "in_channels", "out_channels", "in_features", "out_features", "n_mels")


def narrow(table: Any) -> Any:
    """A preset's stages with few channels and else as they are."""
    if isinstance(table, list):
        return [narrow(part) for part in table]
    if not isinstance(table, dict):
        return table
    wide = {"channels": 512} if table.get("stage") == "feature_encoder" else {}  # the default
    return {key: WIDTHS[value] if key in WIDE_KEYS else narrow(value) for key, value in {**wide, **table}.items()}


def small(name: str, *, calibrate: bool = True) -> sc.Pipeline:
    """With the preset's kernels, strides and pads and few channels; float32, its weights and statistics perturbed."""
    stages = tomllib.loads(preset_text(name))["stages"]
    narrowed = {table.get("name", table["stage"]): narrow(table) for table in stages}
    pipe = sc.Pipeline.from_toml(preset_text(name), **narrowed)
    return ready(pipe, name) if calibrate else ready(pipe, "")


@functools.cache
def real(name: str) -> sc.Pipeline:
    """With the real channels, likewise; no test changes it."""
    return ready(sc.Pipeline.from_preset(name), name)


def ready(pipe: sc.Pipeline, name: str) -> sc.Pipeline:
    fill(pipe, exact=False, seed=3)
    noise = 0.3 + 2 * torch.randn(2, 8000, generator=torch.Generator().manual_seed(4))
    return pipe.calibrate(noise) if name in CALIBRATED else pipe


@functools.cache
def sound(name: str) -> Tensor:
    """Noise of three quarters of a second at least, that gives three frames live and some more at the end."""
    g = real(name).geometry
    return signal(real(name), max(12_000, g.emitted_at(2) + g.stride // 2), exact=False).float()


@functools.cache
@torch.no_grad()
def offline(name: str) -> Tensor:
    return real(name)(sound(name)[None])[0]


@each_preset
def test_a_small_preset_keeps_the_contract(name: str) -> None:
    assert sc.check_streaming(small(name)).worst <= EXACT


@each_preset
def test_random_traffic_in_a_pool_of_a_small_preset_equals_offline(name: str) -> None:
    assert_random_traffic(small(name).double(), seed=5)


@each_preset
def test_a_batch_of_a_small_preset_padded_with_nan_equals_its_rows(name: str) -> None:
    pipe = small(name).double()
    assert_rows_stand_alone(pipe, [signal(pipe, n, exact=False, seed=n) + 0.5 for n in ragged_lengths(pipe)[1:]])


@each_preset
def test_gradients_through_a_stream_of_a_small_preset_equal_offline_gradients(name: str) -> None:
    pipe = small(name).double()
    assert_gradients_through_a_stream(pipe, signal(pipe, max(1, pipe.geometry.emitted_at(3)), exact=False))


@each_preset
def test_one_block_a_step_of_a_small_preset_is_bitwise_independent_of_chunking(name: str) -> None:
    pipe = small(name)
    count = pipe.geometry.emitted_at(3) + 999
    x = signal(pipe, count, exact=False).float()
    whole = stream(pipe.stream(max_blocks=1), x, [count])
    assert torch.equal(stream(pipe.stream(max_blocks=1), x, [1, count - 900, 0, 850, 49]), whole)


@pytest.mark.parametrize("name", CALIBRATED)
def test_rows_of_a_ragged_batch_stand_alone_where_statistics_are_of_the_utterance(name: str) -> None:
    pipe = small(name, calibrate=False).double()
    rows = [signal(pipe, n, exact=False, seed=n) * scale + 0.3 for n, scale in ((9000, 1.0), (400, 0.1), (3000, 5.0))]
    assert_rows_stand_alone(pipe, rows)


@each_preset
def test_with_real_channels_live_equals_offline_and_the_first_two_frames_come_at_their_sample(name: str) -> None:
    x, g = sound(name), real(name).geometry
    session = sc.Session(real(name))
    parts, counts = [], []
    first, second = g.emitted_at(0), g.emitted_at(1)
    for chunk in x.split([first - 1, 1, second - first - 1, 1, len(x) - second]):
        parts.append(session.push(chunk))
        counts.append(session.num_frames)
    assert counts[:4] == [0, 1, 1, 2]
    assert_close(torch.cat([*parts, session.close()]), offline(name), FLOAT)


@each_preset
def test_with_real_channels_live_equals_offline_in_float64(name: str) -> None:
    pipe = sc.Pipeline.from_toml(real(name).to_toml())
    pipe.load_state_dict(real(name).state_dict())
    x = sound(name).double()
    with torch.no_grad():
        expected = pipe.double()(x[None])[0]
    assert_close(stream(sc.Session(pipe), x, [1000, 1, len(x) - 1001]), expected, EXACT)


@each_preset
def test_with_real_channels_a_row_padded_with_nan_equals_it_alone(name: str) -> None:
    x = sound(name)
    batch = torch.full((2, len(x) + 700), torch.nan)
    batch[0], batch[1, : len(x)] = 10, x
    with torch.no_grad():
        y, frames = real(name)(batch, torch.tensor([3000, len(x)]))
    assert frames.tolist() == [real(name).output_lengths(3000), len(offline(name))]
    assert_close(y[1, : len(offline(name))], offline(name), FLOAT)


@each_preset
def test_with_real_channels_fused_equals_unfused_offline_and_live(name: str) -> None:
    fused = real(name).fuse()
    x = sound(name)
    with torch.no_grad():
        assert_close(fused(x[None])[0], offline(name), FLOAT)
    assert_close(stream(sc.Session(fused), x, [len(x)]), offline(name), FLOAT)


@each_preset
def test_few_channels_keep_the_geometry(name: str) -> None:
    assert small(name).geometry == real(name).geometry


@pytest.mark.parametrize(
    ("name", "geometry", "lookahead", "output_dim"),
    [
        # log-mel 400/160 centred: R 400, pads (200, 200); subsampling 2 x (k 3, s 2): R + (2 + 4) 160; 4 x k 31 at 640
        ("conformer-front", sc.Geometry(1360 + 120 * 640, 640, 680 + 60 * 640, 680 + 60 * 640), 60 * 640 + 679, 144),
        # encoder R 400; 63 frames of WaveNet, 127 positional, 30 Conformer
        ("full", sc.Geometry(400 + 220 * 320, 320, (63 + 64 + 15) * 320, 78 * 320), 25_359, 256),
        ("full-causal", sc.Geometry(400 + 220 * 320, 320, 220 * 320, 0), 399, 256),
        ("wav2vec2-base", sc.Geometry(400 + 127 * 320, 320, 64 * 320, 63 * 320), 20_559, 768),
        ("wav2vec2-large", sc.Geometry(400 + 127 * 320, 320, 64 * 320, 63 * 320), 20_559, 1024),
        # first convolution 1, dilations 1023 samples, then hops of 640
        ("wavenet-encoder", sc.Geometry(1 + 1 + 1023 + 639, 640, 1024, 0), 639, 256),
    ],
)
def test_the_declared_geometry(name: str, geometry: sc.Geometry, lookahead: int, output_dim: int) -> None:
    pipe = real(name)
    assert (pipe.geometry, pipe.geometry.lookahead, pipe.output_dim) == (geometry, lookahead, output_dim)
    assert pipe.sample_rate == 16000


def test_ten_seconds_of_the_wavenet_encoder_are_250_frames_of_256() -> None:
    pipe = sc.Pipeline.from_preset("wavenet-encoder", **{"wavenet_encoder.residual_channels": 2})
    with torch.no_grad():
        assert pipe(torch.randn(1, 160_000)).shape == (1, 250, 256)


@pytest.mark.parametrize("name", ["full", "full-causal"])
def test_both_front_ends_of_full_give_frame_t_from_the_same_400_samples(name: str) -> None:
    """Samples 320 t ... 320 t + 399; the Hann window is 0 at its first one."""
    front = small(name).get_submodule("front")
    assert isinstance(front, sc.Parallel)
    assert front.geometry == sc.Geometry(400, 320)
    for branch, zeros in (("0", 1), ("1", 0)):
        for frame in (0, 2):
            x = torch.randn(1, 3000, requires_grad=True)
            (gradient,) = torch.autograd.grad(front.get_submodule(branch)(x)[0, frame].sum(), x)
            touched = gradient[0].nonzero().flatten()
            assert (int(touched[0]), int(touched[-1])) == (320 * frame + zeros, 320 * frame + 399)


@pytest.mark.parametrize("fuse", [False, True])
@each_preset
def test_a_preset_survives_toml_and_file_bit_by_bit(name: str, fuse: bool, tmp_path: Path) -> None:
    """Perturbed weights, calibrated statistics, fused filters."""
    pipe = small(name).fuse() if fuse else small(name)
    text = pipe.to_toml()
    twin = sc.Pipeline.from_toml(text)
    twin.load_state_dict(pipe.state_dict())
    pipe.save(tmp_path / "pipe.safetensors")
    loaded = sc.Pipeline.load(tmp_path / "pipe.safetensors")
    x = signal(pipe, 3000, exact=False).float()[None]
    with torch.no_grad():
        expected = pipe(x)
        assert expected.isfinite().all()
        for other in (twin, loaded):
            assert other.to_toml() == text
            assert torch.equal(other(x), expected)
    assert loaded.state_dict().keys() == pipe.state_dict().keys()
    live = stream(sc.Session(loaded), x[0], [3000])
    assert torch.equal(live, stream(sc.Session(pipe), x[0], [3000]))


@each_preset
def test_weights_are_fresh_until_others_are_loaded(name: str) -> None:
    pipe = sc.Pipeline.from_toml(preset_text(name))
    assert pipe.fresh_random
    assert pipe.fuse().fresh_random
    weights = {key: value + 0.1 if value.is_floating_point() else value for key, value in pipe.state_dict().items()}
    pipe.load_state_dict(weights)
    assert not pipe.fresh_random
    assert not pipe.fuse().fresh_random


@pytest.mark.parametrize("calibrate", [False, True])
@pytest.mark.parametrize(
    ("name", "path", "reason", "alternatives"),
    [
        (
            "wav2vec2-base",
            "encoder",
            "FeatureEncoder's group norm takes its statistics from the whole utterance.",
            (
                "group_norm='frozen' with calibrate(audio), and save() for the command line",
                "group_norm='cumulative'",
                "a checkpoint with norm='layer' (large-lv60, XLSR, HuBERT large)",
            ),
        ),
        (
            "wav2vec2-large",
            "normalize",
            "Normalize takes mean and variance from the whole utterance.",
            (
                "statistics='frozen' with calibrate(audio), and save() for the command line",
                "a checkpoint that was trained without normalisation",
            ),
        ),
    ],
)
def test_presets_with_statistics_of_the_utterance_stream_once_calibrated(
    name: str, path: str, reason: str, alternatives: tuple[str, ...], calibrate: bool
) -> None:
    pipe = small(name, calibrate=calibrate)
    for streaming in (pipe.stream, pipe.stream_pool):
        if calibrate:
            streaming()
            continue
        with pytest.raises(sc.NotStreamable) as caught:
            streaming()
        assert (caught.value.path, caught.value.reason, caught.value.alternatives) == (path, reason, alternatives)
        assert str(caught.value) == f"{path} cannot stream: {reason} Instead: {'; '.join(alternatives)}."


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_random_weights_of_another_type_are_as_random(dtype: torch.dtype) -> None:
    pipe = sc.Pipeline.from_preset("wavenet-encoder", wavenet_encoder={"residual_channels": 4}).to(dtype)
    assert pipe.fresh_random
    assert pipe.float().fresh_random
    next(pipe.parameters()).data.add_(0.1)
    assert not pipe.fresh_random
