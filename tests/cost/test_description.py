"""describe: its numbers against the geometry, a real forward pass and a live stream."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import speechconv as sc
from speechconv.cost import Stage


def net() -> sc.Pipeline:
    return sc.Pipeline(
        {
            "front": sc.ConvSTFT(64, hop_length=20, pad_mode="reflect", learn="window", output="power"),
            "conv": sc.Conv1d(33, 8, 3, stride=2, padding="same"),
            "act": nn.GELU(),
            "pair": sc.Parallel(sc.Conv1d(8, 4, 5, padding="same"), sc.Conv1d(8, 2, 1), join="cat"),
            "glu": nn.GLU(),
        },
        sample_rate=8000,
    ).eval()


@pytest.mark.parametrize("num_samples", [0, 1, 63, 1000])
@torch.no_grad()
def test_each_stage_is_described_as_it_computes(num_samples: int) -> None:
    pipe, x = net(), torch.rand(1, num_samples)
    rows = sc.describe(pipe, num_samples).stages
    assert [row.name for row in rows] == ["front", "conv", "act", "pair", "glu"]
    assert [row.kind for row in rows] == ["ConvSTFT", "Conv1d", "GELU", "Parallel", "GLU"]
    chain = sc.Sequential(*pipe)
    for i, row in enumerate(rows):
        front = sc.Sequential(*list(chain)[: i + 1])
        assert row.shape == front(x).shape[1:]
        assert row.geometry == front.geometry
        assert row.parameters == sum(p.numel() for p in pipe[i].parameters())
    assert [row.parameters for row in rows] == [64, 33 * 8 * 3 + 8, 0, 8 * 4 * 5 + 4 + 8 * 2 + 2, 0]
    assert rows[-1].geometry == pipe.geometry


def test_a_pipeline_is_described_for_a_second_of_sound() -> None:
    description = sc.describe(net())
    assert (description.num_samples, description.sample_rate) == (8000, 8000)
    assert description.stages[0].shape == (401, 33)


def test_the_lookahead_shown_is_what_a_live_stream_waits_for() -> None:
    """Frame 10 is complete `lookahead` samples behind its own, counting that one."""
    pipe = net()
    geometry = sc.describe(pipe).stages[-1].geometry
    session = pipe.stream()
    session.push(torch.ones(10 * geometry.stride + geometry.lookahead))
    assert session.num_frames == 10
    session.push(torch.ones(1))
    assert session.num_frames == 11


def test_the_table_shows_samples_and_milliseconds() -> None:
    assert str(sc.describe(net(), 1000)) == "\n".join(
        (
            "input: 1000 samples at 8000 Hz",
            "",
            "stage  layer     output shape  parameters  stride       receptive field  lookahead",
            "front  ConvSTFT  (51, 33)      64          20 (2.5 ms)  64 (8 ms)        31 (3.875 ms)",
            "conv   Conv1d    (26, 8)       800         40 (5 ms)    104 (13 ms)      51 (6.375 ms)",
            "act    GELU      (26, 8)       0           40 (5 ms)    104 (13 ms)      51 (6.375 ms)",
            "pair   Parallel  (26, 6)       182         40 (5 ms)    264 (33 ms)      131 (16.38 ms)",
            "  0      Conv1d  (26, 4)       164         40 (5 ms)    264 (33 ms)      131 (16.38 ms)",
            "  1      Conv1d  (26, 2)       18          40 (5 ms)    104 (13 ms)      51 (6.375 ms)",
            "glu    GLU       (26, 3)       0           40 (5 ms)    264 (33 ms)      131 (16.38 ms)",
        )
    )


def test_a_layer_without_a_sample_rate_is_described_in_samples_alone() -> None:
    lines = str(sc.describe(sc.Conv1d(3, 1000, 5, stride=2), 101)).splitlines()
    assert lines[0] == "input: 101 samples"
    assert lines[3].split() == ["Conv1d", "(49,", "1000)", "16,000", "2", "5", "4"]


def test_a_mel_counts_frames_not_samples_of_its_sample_rate() -> None:
    mel = sc.Mel(20, sample_rate=8000, n_fft=64)
    description = sc.describe(mel, 50)
    assert description.sample_rate is None
    assert description.stages[0].shape == (50, 20)
    with pytest.raises(ValueError, match=r"^Mel has no sample rate; pass num_samples\.$"):
        sc.describe(mel)


def test_a_layer_that_resizes_is_described_by_what_comes_out() -> None:
    net = sc.Sequential(sc.MinimumLength(500), sc.ConvSTFT(64, hop_length=16))
    assert [stage.shape for stage in sc.describe(net, 30).stages] == [(500,), (32, 33)]


def test_what_cannot_stream_is_said_below_the_table() -> None:
    last = str(sc.describe(sc.Pipeline.from_preset("nemo-mel"))).splitlines()[-1]
    assert last.startswith("not live: cmvn cannot stream: CMVN takes mean and variance from the whole utterance.")
    calibrated = sc.Pipeline.from_preset("nemo-mel").calibrate(torch.randn(1, 16000))
    assert "not live" not in str(sc.describe(calibrated))
    assert "not live" not in str(sc.describe(sc.Pipeline.from_preset("logmel")))


def test_what_has_no_shapes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^Conv1d has no sample rate; pass num_samples\.$"):
        sc.describe(sc.Conv1d(3, 4, 5))
    with pytest.raises(ValueError, match=r"^Log takes any number of channels, so it has no shapes of its own\.$"):
        sc.describe(sc.Log(), 100)
    with pytest.raises(ValueError, match=r"^num_samples \(=-1\) must be >= 0\.$"):
        sc.describe(net(), -1)


def test_modules_of_torch_are_refused() -> None:
    with pytest.raises(TypeError, match="expected a speechconv layer or pipeline, got ReLU"):
        sc.describe(torch.nn.ReLU())  # pyright: ignore[reportArgumentType] - refused


def test_all_five_parts_of_the_full_pipeline_have_a_row() -> None:
    """Those that a skip or a branch holds as well, each behind what stands before it."""
    rows = {}

    def collect(stages: tuple[Stage, ...], prefix: str = "") -> None:
        for stage in stages:
            rows[prefix + stage.name] = stage
            collect(stage.parts, f"{prefix}{stage.name}.")

    pipe = sc.Pipeline.from_preset("full")
    collect(sc.describe(pipe).stages)
    assert [rows[name].kind for name in ("front.0.0", "front.1", "wavenet", "positional.body", "conformer.body")] == [
        "ConvSTFT",
        "FeatureEncoder",
        "WaveNetStack",
        "ConvPositionalEmbedding",
        "ConformerConvModule",
    ]
    for name, row in rows.items():
        layer = pipe.get_submodule(name)
        assert row.kind == type(layer).__name__
        assert row.parameters == sum(p.numel() for p in layer.parameters())
    assert (rows["front.0.1"].shape, rows["front.1"].shape, rows["front"].shape) == ((49, 80), (49, 512), (49, 592))
    assert rows["conformer.body"].geometry.lookahead == 25_359
