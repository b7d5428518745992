"""describe: its numbers against the geometry, a real forward pass and a live stream."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
import torch
from torch import nn

import speechconv as sc
from speechconv.cost import Description, Stage
from speechconv.presets import preset_names


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
    assert rows[-1].geometry == pipe.geometry == sc.describe(pipe, num_samples).total.geometry


def test_a_pipeline_is_described_for_a_second_of_sound() -> None:
    description = sc.describe(net())
    assert (description.num_samples, description.sample_rate) == (8000, 8000)
    assert description.stages[0].shape == (401, 33)


def test_the_lookahead_shown_is_what_a_live_stream_waits_for() -> None:
    """Frame 10 is complete `lookahead` samples behind its own, counting that one."""
    pipe = net()
    geometry = sc.describe(pipe).stages[-1].geometry
    assert geometry is not None
    session = pipe.stream()
    session.push(torch.ones(10 * geometry.stride + geometry.lookahead))
    assert session.num_frames == 10
    session.push(torch.ones(1))
    assert session.num_frames == 11


def test_the_table_shows_spans_in_milliseconds_and_the_whole_in_words() -> None:
    assert str(sc.describe(net(), 1000)) == "\n".join(
        (
            "input: 1000 samples at 8000 Hz, float32, a batch of 1; spans in ms",
            "",
            "stage  layer     output   parameters   MAC/s   outputs  state  stride  field  lookahead",
            "front  ConvSTFT  51 x 33          64   192 k  6.57 KiB  176 B     2.5      8      3.875",
            "conv   Conv1d    26 x 8          800   158 k     832 B  132 B       5     13      6.375",
            "act    GELU      26 x 8            0       0     832 B    0 B       5     13      6.375",
            "pair   Parallel  26 x 6          182  35.2 k  1.22 KiB  192 B       5     33      16.38",
            "  0    Conv1d    26 x 4          164    32 k     416 B  128 B       5     33      16.38",
            "  1    Conv1d    26 x 2           18   3.2 k     208 B   64 B       5     13      6.375",
            "glu    GLU       26 x 3            0       0     312 B    0 B       5     33      16.38",
            "total                          1,046   386 k  9.72 KiB  516 B       5     33      16.38",
            "",
            "multiply-adds     386 k a second; 49.6 k for this input, 24.5 k of them for FFTs",
            "real-time factor  7.71e-05 at 10 GFLOP/s",
            "forward memory    13.6 KiB for the input and all outputs, 11.3 KiB at once",
            "training memory   40.1 KiB kept for the backward pass",
            "samples           stride 40, receptive field 264, lookahead 131",
        )
    )


def test_a_layer_without_a_sample_rate_is_described_in_frames_alone() -> None:
    lines = str(sc.describe(sc.Conv1d(3, 1000, 5, stride=2), 101)).splitlines()
    assert lines[0] == "input: 101 x 3, float32, a batch of 1"
    assert lines[3] == "       Conv1d  49 x 1000      16,000  735 k  191 KiB   36 B       2      5          4"
    assert lines[6] == "time             0.147 ms for this input at 10 GFLOP/s"


@pytest.mark.filterwarnings("ignore:4 of 128 mel bands hold no FFT bin")  # torchaudio's own default bank
@pytest.mark.parametrize("name", preset_names())
def test_every_preset_s_table_fits_120_columns(name: str) -> None:
    table = str(sc.describe(sc.Pipeline.from_preset(name))).split("\n\nmultiply-adds")[0]
    assert max(map(len, table.splitlines())) <= 120


def test_markdown_has_the_table_with_what_training_keeps_and_a_list() -> None:
    lines = sc.describe(net(), 1000).to_markdown().splitlines()
    assert lines[0] == "input: 1000 samples at 8000 Hz, float32, a batch of 1; spans in ms"
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert len({len(row) for row in cells}) == 1
    columns = dict(zip(cells[0], zip(*cells[2:], strict=True), strict=True))
    assert columns["stage"] == ("front", "conv", "act", "pair", "→ 0", "→ 1", "glu", "total")
    stages = sc.describe(net(), 1000).stages
    assert columns["training"][2] == f"{stages[2].training_bytes} B"
    assert "- real-time factor: 7.71e-05 at 10 GFLOP/s" in lines


def test_json_has_every_figure_of_every_row() -> None:
    sheet = sc.describe(net(), 1000, gflops=4)
    told = json.loads(sheet.to_json())
    assert told["input"] == {"shape": [1000], "dtype": "float32", "bytes": 4000, "sample_rate": 8000, "seconds": 0.125}
    assert (told["at_least"], told["unknown"], told["not_live"], told["training_not_told"]) == (False, [], None, None)
    rows = [*told["stages"], *told["stages"][3]["parts"]]
    for row, stage in zip(rows, [*sheet.stages, *sheet.stages[3].parts], strict=True):
        assert stage.geometry is not None
        assert row["geometry"]["lookahead"] == stage.geometry.lookahead
        assert row["shape"] == list(stage.shape)
        for key in set(row) - {"geometry", "parts", "shape"}:
            assert row[key] == getattr(stage, key)
    assert told["total"]["state_bytes"] == sheet.state_bytes
    assert told["total"]["parameters"] == 1046
    assert told["total"]["real_time_factor"] == sheet.real_time_factor


def test_every_key_of_the_json_is_documented() -> None:
    told = json.loads(sc.describe(net(), 1000).to_json())
    documented = set(re.findall(r"\w+", f"{Description.to_json.__doc__} {Stage.__doc__}"))
    assert {*told, *told["input"], *told["total"], *told["stages"][0]} <= documented


def test_only_layers_of_frames_have_a_number_of_them() -> None:
    """The first axis of torch's modules may be anything, such as the channels of a picture."""
    assert sc.describe(sc.Conv1d(3, 4, 3), 224).num_samples == 224
    assert sc.describe(nn.Conv2d(3, 4, 3), (3, 224, 224)).num_samples is None


def test_the_real_time_factor_is_two_operations_a_multiply_add() -> None:
    """At 2.45 G multiply-adds a second, a device of 4.9 GFLOP/s is just fast enough."""
    sheet = sc.describe(sc.FeatureEncoder(norm="layer"), 32000, sample_rate=16000, gflops=2 * 2.4543232)
    assert sheet.real_time_factor == pytest.approx(1, rel=1e-12)
    assert sheet.seconds == 2
    assert sheet.seconds_of_work == 2 * sheet.total.multiply_adds / (2 * 2.4543232e9)


def test_weights_are_parameters_without_biases_and_gains_of_norms() -> None:
    net = sc.Sequential(sc.Conv1d(3, 5, 7), sc.LayerNorm(5), nn.Linear(5, 2))
    assert sc.describe(net, 20).total.weights == 3 * 5 * 7 + 5 * 2
    assert sc.describe(net, 20).total.parameters == 3 * 5 * 7 + 5 + 10 + 5 * 2 + 2


def test_a_layer_in_two_places_has_two_rows_and_its_parameters_count_once() -> None:
    shared = nn.Linear(4, 4)
    sheet = sc.describe(sc.Sequential(shared, nn.ReLU(), shared), 10)
    assert [stage.parameters for stage in sheet.stages] == [20, 0, 20]
    assert (sheet.total.parameters, sheet.total.multiply_adds) == (20, 2 * 160)


def test_a_mel_counts_frames_not_samples_of_its_sample_rate() -> None:
    mel = sc.Mel(20, sample_rate=8000, n_fft=64)
    description = sc.describe(mel, 50)
    assert description.sample_rate is None
    assert description.stages[0].shape == (50, 20)
    with pytest.raises(ValueError, match=r"^Mel has no sample rate; pass input_shape\.$"):
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


def test_frozen_statistics_that_were_not_given_are_said_below_the_table() -> None:
    """In the words of the stream itself, which is live as soon as they are given."""
    pipe = sc.Pipeline.from_preset("wav2vec2-base", **{"encoder.group_norm": "frozen"})
    with pytest.raises(ValueError, match="frozen") as refused:
        pipe.stream()
    sheet = sc.describe(pipe)
    assert str(sheet).splitlines()[-1] == f"not live: {refused.value}"
    assert json.loads(sheet.to_json())["not_live"] == str(refused.value)
    assert sheet.state_bytes is None
    given = sc.describe(pipe.calibrate(torch.randn(1, 16000)))
    assert given.obstacle is None
    assert given.state_bytes is not None


REFUSED = (
    (lambda: sc.describe(sc.Conv1d(3, 4, 5)), "Conv1d has no sample rate; pass input_shape."),
    (lambda: sc.describe(sc.ConvSTFT()), "ConvSTFT has no sample rate; pass input_shape or sample_rate."),
    (lambda: sc.describe(sc.Log(), 100), "Log takes any number of channels; pass input_shape=(frames, channels)."),
    (lambda: sc.describe(net(), -1), "input_shape (=-1) must be an integer >= 0."),
    (lambda: sc.describe(net(), (9, 9, 9)), "input_shape (=(9, 9, 9)) must be (samples,) or (frames, channels)."),
    (lambda: sc.describe(net(), (9, 9)), "ConvSTFT takes a waveform, got 9 channels."),
    (lambda: sc.describe(net(), gflops=0), "gflops (=0) must be > 0."),
    (lambda: sc.describe(net(), sample_rate=16000), "sample_rate (=16000) must be the pipeline's own, 8000 Hz"),
    (lambda: sc.describe(sc.Log(), 9, sample_rate=8000), "Log takes frames, so a sample_rate (=8000) says nothing."),
    (lambda: sc.describe(nn.ReLU(), [9, 3]), "input_shape (=[9, 3]) must be a tuple, or an int."),  # pyright: ignore[reportArgumentType] - what is tested
    (lambda: sc.describe(nn.ReLU()), "ReLU needs input_shape, batch axis left out, such as (3, 224, 224)."),
    (lambda: sc.describe(nn.ReLU(), 9, sample_rate=8000), "ReLU is no speechconv layer, so it is described per input"),
    (lambda: sc.describe(nn.LazyLinear(4), (9, 2)), "LazyLinear is lazy and has no shapes yet; run the module once on"),
    (lambda: sc.describe(sc.Sequential(nn.LazyLinear(4)), (9, 2)), "0 (LazyLinear) is lazy and has no shapes yet; run"),
    (lambda: sc.describe(nn.Linear(3, 4), (9, 2)), "Linear does not run on a meta tensor of shape (1, 9, 2): "),
)


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_what_cannot_be_described_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        call()
    with pytest.raises(TypeError, match=r"^expected a module, got str\.$"):
        sc.describe("logmel")  # pyright: ignore[reportArgumentType] - refused


def test_a_lazy_module_is_described_after_it_has_run() -> None:
    lazy = nn.Sequential(nn.LazyConv1d(4, 3), nn.LazyBatchNorm1d())
    with pytest.raises(ValueError, match=r"^0 \(LazyConv1d\) is lazy"):
        sc.describe(lazy, (2, 9))
    lazy(torch.zeros(1, 2, 9))
    assert sc.describe(lazy, (2, 9)).total.multiply_adds == 7 * 4 * 2 * 3


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")  # what is refused
def test_a_scripted_module_is_refused_with_what_to_do() -> None:
    scripted = nn.Sequential(nn.ReLU(), torch.jit.script(nn.Linear(2, 2)))
    message = r"^1 \(RecursiveScriptModule\) is scripted or traced; describe the module that it was made from\.$"
    with pytest.raises(TypeError, match=message):
        sc.describe(scripted, (2,))


def test_a_layer_of_any_channels_is_described_by_its_input_s_shape() -> None:
    assert sc.describe(sc.Log(), (50, 7)).total.shape == (50, 7)
    assert sc.describe(sc.Affine(), (50,)).total.shape == (50,)


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
