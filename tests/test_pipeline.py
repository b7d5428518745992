"""Pipeline: presets and their overrides, TOML there and back, one file with weights."""

from __future__ import annotations

import json
import os
import re
import struct
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import speechconv as sc
from speechconv.frontend.stft import Learn
from speechconv.pipeline import open_pipeline, parse_pipeline
from speechconv.presets import preset_names, preset_text
from speechconv.stages import STAGES
from tests.stacks import stream

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


# Presets


@pytest.mark.filterwarnings("ignore:[0-9]+ of 128 mel bands hold no FFT bin")  # as torchaudio's own
def test_every_preset_is_described_and_extracts_frames() -> None:
    names = preset_names()
    assert "logmel" in names
    for name, description in names.items():
        pipe = sc.Pipeline.from_preset(name)
        assert description
        with torch.no_grad():
            y = pipe(noise(2, pipe.sample_rate))
        assert y.shape == (2, pipe.output_lengths(pipe.sample_rate), pipe.output_dim)
        assert y.isfinite().all()


def test_logmel_is_what_its_name_promises() -> None:
    pipe = sc.Pipeline.from_preset("logmel")
    assert (pipe.sample_rate, pipe.hop_length, pipe.output_dim) == (16000, 160, 80)
    assert pipe.geometry == sc.Geometry(receptive_field=400, stride=160, pad_left=200, pad_right=200)
    assert [name for name, _ in pipe.named_children()] == ["stft", "mel", "log"]


def test_overrides_may_be_flat_nested_or_dotted() -> None:
    dotted = sc.Pipeline.from_preset("logmel", **{"mel.n_mels": 40, "mel.f_min": 20.0, "sample_rate": 8000})
    nested = sc.Pipeline.from_preset("logmel", sample_rate=8000, mel={"n_mels": 40, "f_min": 20.0})
    mel = dotted.get_submodule("mel")
    assert dotted.to_toml() == nested.to_toml()
    assert isinstance(mel, sc.Mel)
    assert (dotted.sample_rate, mel.sample_rate, mel.n_mels, mel.f_min) == (8000, 8000, 40, 20.0)


def test_an_overridden_n_fft_reaches_the_mel_behind_it() -> None:
    mel = sc.Pipeline.from_preset("logmel", stft={"n_fft": 512}).get_submodule("mel")
    assert isinstance(mel, sc.Mel)
    assert mel.n_fft == 512


def test_none_is_written_as_a_word() -> None:
    mel = sc.Pipeline.from_preset("logmel", **{"mel.norm": "none"}).get_submodule("mel")
    assert isinstance(mel, sc.Mel)
    assert mel.norm is None


def test_overrides_leave_the_preset_as_it_is() -> None:
    before = preset_text("logmel")
    sc.Pipeline.from_preset("logmel", mel={"n_mels": 40})
    assert preset_text("logmel") == before
    assert sc.Pipeline.from_preset("logmel").output_dim == 80


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("logmell", {}, "unknown preset 'logmell' in speechconv; did you mean 'logmel'? Accepted: "),
        (
            "logmel",
            {"mell": {"n_mels": 40}},
            "unknown stage or key 'mell' in preset 'logmel'; did you mean 'mel'? Accepted: sample_rate, stft, mel, l",
        ),
        (
            "logmel",
            {"sample_rat": 8000},
            "unknown stage or key 'sample_rat' in preset 'logmel'; did you mean 'sample_rate'? Accepted: sample_rate, ",
        ),
        (
            "logmel",
            {"mel.n_mel": 40},
            "unknown key 'n_mel' in stage 'mel' of preset 'logmel'; did you mean 'n_mels'? "
            "Accepted: n_mels, f_min, f_max, scale, norm, learn.",
        ),
        ("logmel", {"mel": 40}, "'mel' in preset 'logmel' is a stage; set its keys as mel.KEY=VALUE."),
        (
            "logmel",
            {"mel.sample_rate": 8000},
            "sample_rate of stage 'mel' of preset 'logmel' is handed down by the pipeline; leave it out.",
        ),
        (
            "logmel",
            {"mel": {"n_fft": 512}},
            "n_fft of stage 'mel' of preset 'logmel' is handed down by the stft before it; leave it out.",
        ),
        ("logmel", {"mel.n_mels": 0}, "stage 'mel' of preset 'logmel': n_mels (=0) must be an integer >= 1."),
        ("logmel", {"mel.n_mels": "80"}, "stage 'mel' of preset 'logmel': n_mels (='80') must be an integer >= 1."),
        ("logmel", {"stft.output": "complex", "mel.n_mels": 0}, "stage 'mel' of preset 'logmel': n_mels (=0) must"),
        ("logmel", {"stft.output": "real_imag"}, "layer mel (Mel): Mel takes 201 channels, got 402 channels."),
    ],
    ids=str,
)
def test_a_refused_preset_or_override_is_named_with_what_is_possible(
    name: str, overrides: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(message)}"):
        sc.Pipeline.from_preset(name, **overrides)


# TOML


def test_toml_round_trip_of_every_stage_nested_ones_included() -> None:
    pipes = [sc.Pipeline.from_toml(text) for text in (EVERY_STAGE, WAVEFORM_STAGES, FEATURE_STAGES)]
    kinds = {type(module) for pipe in pipes for module in pipe.modules()}
    assert kinds >= {kind for kind in STAGES.values() if kind.__module__.startswith("speechconv")}
    assert [name for name, _ in pipes[0].named_children()][:4] == ["stft", "bands", "log", "conv1d"]
    for pipe in pipes:
        twin = sc.Pipeline.from_toml(pipe.to_toml())
        twin.load_state_dict(trained(pipe).state_dict())
        assert_same(pipe, twin)


def test_a_stage_is_named_by_its_kind_and_numbered_from_the_second_on() -> None:
    pipe = sc.Pipeline([sc.ConvSTFT(16, output="power"), nn.ReLU(), nn.Tanh(), nn.ReLU(), nn.ReLU()], sample_rate=8000)
    names = ["stft", "relu", "tanh", "relu_2", "relu_3"]
    assert [name for name, _ in pipe.named_children()] == names
    assert [name for name, _ in sc.Pipeline.from_toml(pipe.to_toml()).named_children()] == names


@pytest.mark.parametrize("name", ["front end", 'a "quoted" \\ name', "Über", "😀", "mel"])
def test_a_name_of_ones_own_survives_the_file(tmp_path: Path, name: str) -> None:
    pipe = sc.Pipeline({name: sc.ConvSTFT(16, output="power"), "last": sc.Log()}, sample_rate=8000)
    pipe.save(tmp_path / "pipe.safetensors")
    twin = sc.Pipeline.load(tmp_path / "pipe.safetensors")
    assert [child for child, _ in twin.named_children()] == [name, "last"]


STFT = '[[stages]]\nstage = "stft"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sample_rate = ", "my.toml is not valid TOML: "),
        (f"{STFT}", "my.toml needs the key 'sample_rate'."),
        ("sample_rate = 8000", "my.toml needs the key 'stages'."),
        (
            f"sample_rat = 8000\n{STFT}",
            "unknown key 'sample_rat' in my.toml; did you mean 'sample_rate'? Accepted: description, sample_rate, ",
        ),
        ("sample_rate = 8000\nstages = []", "a pipeline needs at least one stage."),
        (
            'sample_rate = 8000\n[stages]\nstage = "stft"',
            "stages in my.toml must be a list of tables, [[stages]] or [{stage = ...}]; got {'stage': 'stft'}.",
        ),
        ("sample_rate = 8000\nstages = 5", "stages in my.toml must be a list of tables, [[stages]] or "),
        (f"sample_rate = 8000.0\n{STFT}", "sample_rate (=8000.0) must be an integer >= 1."),
        (f"sample_rate = 0\n{STFT}", "sample_rate (=0) must be an integer >= 1."),
        (f"sample_rate = 8000\n{STFT}[[stages]]\nn_mels = 5", "a stage in my.toml has no key 'stage'; name one of "),
        (
            'sample_rate = 8000\n[[stages]]\nstage = "mel"',
            "stage 'mel' of my.toml needs n_fft from the stft before it, and there is none.",
        ),
        (
            'sample_rate = 8000\n[[stages]]\nstage = "relu"',
            "the first stage must take a waveform, as ConvSTFT does; ReLU takes frames.",
        ),
        (
            f'sample_rate = 8000\n{STFT}name = "a"\n[[stages]]\nstage = "relu"\nname = "a"',
            "two stages in my.toml are named 'a'.",
        ),
        (f'sample_rate = 8000\n{STFT}name = "stream"', "'stream' cannot name a stage; take a word without dots that "),
        (f'sample_rate = 8000\n{STFT}name = "sample_rate"', "'sample_rate' cannot name a stage; "),
        (f'sample_rate = 8000\n{STFT}name = "a.b"', "'a.b' cannot name a stage; take a word without dots that "),
        (f"sample_rate = 8000\n{STFT}name = 5", "5 cannot name a stage; take a word without dots that "),
    ],
    ids=str,
)
def test_refused_toml_says_what_is_wrong_and_where(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(message)}"):
        parse_pipeline(text, "my.toml", {})


# By hand


@pytest.mark.parametrize(
    ("stages", "sample_rate", "error", "message"),
    [
        ([], 8000, ValueError, "a pipeline needs at least one stage."),
        (
            [sc.Conv1d(1, 2, 3)],
            8000,
            ValueError,
            "the first stage must take a waveform, as ConvSTFT does; Conv1d takes",
        ),
        ([nn.ReLU()], 8000, ValueError, "the first stage must take a waveform, as ConvSTFT does; ReLU takes frames."),
        ([sc.ConvSTFT(16)], 0, ValueError, "sample_rate (=0) must be an integer >= 1."),
        ([sc.ConvSTFT(16)], 8000.0, ValueError, "sample_rate (=8000.0) must be an integer >= 1."),
        (
            [sc.ConvSTFT(400, output="power"), sc.Mel(40, sample_rate=16000, n_fft=400)],
            8000,
            ValueError,
            "stage 'mel' was made for 16000 Hz, the pipeline is for 8000 Hz.",
        ),
        (
            [sc.Sequential(sc.ConvSTFT(400, output="power"), sc.Mel(40, sample_rate=16000, n_fft=400))],
            8000,
            ValueError,
            "stage 'sequential' was made for 16000 Hz, the pipeline is for 8000 Hz.",
        ),
        (
            [sc.ConvSTFT(400, output="power"), sc.Mel(40, sample_rate=8000, n_fft=256)],
            8000,
            ValueError,
            "layer mel (Mel): Mel takes 129 channels, got 201 channels.",
        ),
        ([sc.ConvSTFT(16), nn.Conv1d(9, 2, 3)], 8000, TypeError, "expected a speechconv layer, or torch's Linear, "),
    ],
    ids=str,
)
def test_stages_that_do_not_fit_are_refused(stages: Any, sample_rate: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=rf"^{re.escape(message)}"):
        sc.Pipeline(stages, sample_rate=sample_rate)


@pytest.mark.parametrize("num_samples", [0, 1, 159, 160, 199, 200, 16000])
def test_output_lengths_are_the_frames_that_come_out(num_samples: int) -> None:
    pipe = sc.Pipeline.from_toml(EVERY_STAGE)
    with torch.no_grad():
        frames = pipe(torch.ones(1, num_samples)).shape[1]
    assert pipe.output_lengths(num_samples) == frames
    assert pipe.output_lengths(torch.tensor([num_samples, 7])).tolist() == [frames, pipe.output_lengths(7)]
    assert pipe.output_lengths(torch.tensor([num_samples])).dtype == torch.int64
    assert pipe.output_lengths(np.array([num_samples])).tolist() == [frames]


def test_made_pipelines_are_in_eval_mode(tmp_path: Path) -> None:
    pipe = sc.Pipeline.from_toml(EVERY_STAGE)
    pipe.train().save(tmp_path / "pipe.safetensors")
    for made in (
        sc.Pipeline.from_preset("logmel"),
        sc.Pipeline.from_toml(EVERY_STAGE),
        sc.Pipeline.load(tmp_path / "pipe.safetensors"),
    ):
        assert not any(module.training for module in made.modules())


def test_a_pipeline_streams_what_it_gives_offline() -> None:
    pipe = trained(sc.Pipeline.from_toml(EVERY_STAGE)).double()
    x = noise(1000).double()
    with torch.no_grad():
        expected = pipe(x[None])[0]
    assert (stream(pipe.stream(), x, [3, 0, 997]) - expected).abs().max() <= 1e-12 * expected.abs().max()

    pool = pipe.stream_pool(max_sessions=2)
    handle = pool.open()
    pool.push(handle, x)
    pool.close(handle)
    assert (pool.pump()[handle] - expected).abs().max() <= 1e-12 * expected.abs().max()


# One file


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("learn", LEARN)
def test_a_saved_pipeline_loads_with_its_weights_and_their_type(
    tmp_path: Path, learn: Learn | None, dtype: torch.dtype
) -> None:
    pipe = sc.Pipeline.from_toml(STFT_CONV, stft={"learn": "none" if learn is None else learn})
    pipe = trained(pipe).to(dtype)
    pipe.save(tmp_path / "pipe.safetensors")
    assert_same(pipe, sc.Pipeline.load(tmp_path / "pipe.safetensors"))


def test_a_saved_pipeline_of_every_stage_loads_as_it_was(tmp_path: Path) -> None:
    pipe = trained(sc.Pipeline.from_toml(EVERY_STAGE))
    pipe.save(str(tmp_path / "pipe.safetensors"))
    assert_same(pipe, sc.Pipeline.load(str(tmp_path / "pipe.safetensors")))


def test_the_file_is_plain_safetensors_and_nothing_else(tmp_path: Path) -> None:
    """Eight bytes of header length, a JSON header, then the tensors end to end: no room for a pickle."""
    pipe = trained(sc.Pipeline.from_toml(STFT_CONV))
    path = tmp_path / "pipe.safetensors"
    pipe.save(path)
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    metadata = header.pop("__metadata__")
    assert metadata["pipeline"] == pipe.to_toml()
    assert metadata["speechconv"] == sc.__version__
    assert {name: entry["dtype"] for name, entry in header.items()} == {"conv1d.weight": "F32", "conv1d.bias": "F32"}
    assert max(entry["data_offsets"][1] for entry in header.values()) == len(data) - 8 - size

    weights = load_file(path)
    assert torch.equal(weights["conv1d.weight"], pipe.state_dict()["conv1d.weight"])
    with safe_open(path, framework="np") as file:
        assert np.array_equal(file.get_tensor("conv1d.bias"), pipe.state_dict()["conv1d.bias"].numpy())


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"^no pipeline file at .*nothing\.safetensors\.$"):
        sc.Pipeline.load(tmp_path / "nothing.safetensors")


@pytest.mark.parametrize("content", [b"", b"hello, this is no tensor file" * 10, b"\x80\x04K\x01."])
def test_a_file_that_is_not_safetensors_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pipe.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"pipe\.safetensors is not a safetensors file: "):
        sc.Pipeline.load(path)


def test_someone_elses_safetensors_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "pipe.safetensors"
    save_file({"weight": torch.ones(2)}, path)
    message = r"pipe\.safetensors holds weights but no pipeline; expected a file that Pipeline\.save wrote\.$"
    with pytest.raises(ValueError, match=message):
        sc.Pipeline.load(path)


@pytest.mark.parametrize(
    "weights",
    [{}, {"conv1d.weight": torch.ones(5, 9, 3)}, {"conv1d.weight": torch.ones(5, 9, 2), "conv1d.bias": torch.ones(5)}],
    ids=["none", "one missing", "another shape"],
)
def test_weights_that_do_not_fit_their_pipeline_are_refused(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    path = tmp_path / "pipe.safetensors"
    save_file(weights, path, metadata={"pipeline": STFT_CONV})
    with pytest.raises(
        ValueError, match=r"(?s)^the weights in .*pipe\.safetensors do not fit its pipeline: .*conv1d\."
    ):
        sc.Pipeline.load(path)


def test_a_damaged_description_in_the_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pipe.safetensors"
    save_file({}, path, metadata={"pipeline": "sample_rate = "})
    with pytest.raises(ValueError, match=r"pipe\.safetensors is not valid TOML: "):
        sc.Pipeline.load(path)


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failing_write_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    path = tmp_path / "pipe.safetensors"
    sc.Pipeline.from_preset("logmel").save(path)
    before = path.read_bytes()

    def disk_full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, disk_full)
    with pytest.raises(OSError, match="No space left on device"):
        sc.Pipeline.from_toml(STFT_CONV).save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_whole_and_on_the_disk_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, replace, seen = tmp_path / "pipe.safetensors", os.replace, []

    def renamed(source: str, target: str) -> None:
        seen.append(("renamed", os.path.getsize(source)))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", lambda file: seen.append(("forced to disk", os.fstat(file).st_size)))
    monkeypatch.setattr(os, "replace", renamed)
    sc.Pipeline.from_preset("logmel").save(path)
    size = path.stat().st_size
    assert seen == [("forced to disk", size), ("renamed", size)]


def test_a_saved_file_may_be_read_by_whom_the_umask_says(tmp_path: Path) -> None:
    path, plain = tmp_path / "pipe.safetensors", tmp_path / "plain"
    plain.touch()
    sc.Pipeline.from_preset("logmel").save(path)
    assert path.stat().st_mode == plain.stat().st_mode


# Random weights


def test_random_weights_are_told_from_computed_loaded_and_trained_ones(tmp_path: Path) -> None:
    random, computed = sc.Pipeline.from_toml(STFT_CONV), sc.Pipeline.from_preset("logmel", stft={"learn": "free"})
    assert random.fresh_random
    assert random.double().fresh_random
    assert not computed.fresh_random
    random.save(tmp_path / "random.safetensors")
    assert sc.Pipeline.load(tmp_path / "random.safetensors").fresh_random
    optimiser = torch.optim.SGD(random.parameters(), lr=0.1)
    random(noise(1, 90).double()).sum().backward()
    optimiser.step()
    random.save(tmp_path / "trained.safetensors")
    assert not random.fresh_random
    assert not sc.Pipeline.load(tmp_path / "trained.safetensors").fresh_random
    fresh = sc.Pipeline.from_toml(STFT_CONV)
    fresh.load_state_dict(random.state_dict())
    assert not fresh.fresh_random


def test_loading_leaves_torchs_generator_alone(tmp_path: Path) -> None:
    sc.Pipeline.from_toml(STFT_CONV).save(tmp_path / "pipe.safetensors")
    before = torch.random.get_rng_state()
    sc.Pipeline.load(tmp_path / "pipe.safetensors")
    assert torch.equal(torch.random.get_rng_state(), before)


def test_fresh_weights_follow_torchs_seed() -> None:
    first, second, third = (
        (torch.manual_seed(seed), sc.Pipeline.from_toml(STFT_CONV).state_dict()["conv1d.weight"])[1]
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


# What the command line opens


def test_a_pipeline_opens_by_preset_toml_or_saved_file(tmp_path: Path) -> None:
    pipe = trained(sc.Pipeline.from_toml(STFT_CONV))
    pipe.save(tmp_path / "pipe.safetensors")
    (tmp_path / "pipe.toml").write_text(pipe.to_toml(), "utf-8")
    assert open_pipeline("logmel").to_toml() == sc.Pipeline.from_preset("logmel").to_toml()
    assert open_pipeline("logmel", {"mel": {"n_mels": 40}}).output_dim == 40
    assert open_pipeline(tmp_path / "pipe.toml").to_toml() == pipe.to_toml()
    assert open_pipeline(str(tmp_path / "pipe.toml"), {"stft.hop_length": 8}).hop_length == 8
    assert_same(pipe, open_pipeline(tmp_path / "pipe.safetensors"))


def test_what_cannot_be_opened_is_refused_with_what_can(tmp_path: Path) -> None:
    path = tmp_path / "pipe.safetensors"
    sc.Pipeline.from_preset("logmel").save(path)
    with pytest.raises(ValueError, match=r"is a saved pipeline, its values are fixed; drop sample_rate\.$"):
        open_pipeline(path, {"sample_rate": 8000})
    message = r"^unknown preset 'logmell' .* mean 'logmel'\? Accepted: .*, logmel, .*, FILE.toml, FILE.safetensors\.$"
    with pytest.raises(ValueError, match=message):
        open_pipeline("logmell")
    with pytest.raises(ValueError, match=r"^unknown stage or key 'mell' in preset 'logmel'; .*(?<!file\.)$"):
        open_pipeline("logmel", {"mell": {}})
    (tmp_path / "bad.toml").write_text("rate = 8000")
    with pytest.raises(ValueError, match=r"^unknown key 'rate' in .*bad\.toml; "):
        open_pipeline(tmp_path / "bad.toml")
    for missing in ("missing.toml", "missing.safetensors"):
        with pytest.raises(FileNotFoundError):
            open_pipeline(tmp_path / missing)


# Once wrong


def test_a_pipeline_without_weights_keeps_its_type(tmp_path: Path) -> None:
    sc.Pipeline.from_preset("logmel").double().save(tmp_path / "pipe.safetensors")
    pipe = sc.Pipeline.load(tmp_path / "pipe.safetensors")
    assert pipe(noise(1, 900).double()).dtype == torch.float64


def test_an_stft_inside_a_composition_hands_its_n_fft_on() -> None:
    stft, mel = sc.ConvSTFT(64, output="power"), sc.Mel(8, sample_rate=8000, n_fft=64)
    pipe = sc.Pipeline([sc.Sequential(stft, sc.Log()), mel], sample_rate=8000)
    assert sc.Pipeline.from_toml(pipe.to_toml()).to_toml() == pipe.to_toml()


def test_a_mel_made_for_another_n_fft_with_equally_many_bins_is_refused() -> None:
    stft, mel = sc.ConvSTFT(65, output="power"), sc.Mel(8, sample_rate=8000, n_fft=64)
    with pytest.raises(ValueError, match="n_fft"):
        sc.Pipeline([stft, mel], sample_rate=8000)


def test_a_number_from_numpy_survives_the_file() -> None:
    pipe = sc.Pipeline([sc.ConvSTFT(16, output="power"), sc.Log(floor=np.float64(1e-9))], sample_rate=8000)
    assert sc.Pipeline.from_toml(pipe.to_toml()).to_toml() == pipe.to_toml()


def test_a_stage_used_twice_runs_twice() -> None:
    halve = nn.Linear(9, 9, bias=False)
    halve.weight.data = torch.eye(9) / 2
    net = sc.Sequential(sc.ConvSTFT(16, output="power"), halve, halve)
    assert torch.equal(net(noise(1, 50)), net[0](noise(1, 50)) / 4)


def test_named_stages_whose_names_look_numbered_survive_the_file(tmp_path: Path) -> None:
    for names in (("conv1d_a", "conv1d"), ("conv1d_2", "conv1d"), ("conv1d", "conv1d_3")):
        stages = {"stft": sc.ConvSTFT(16, output="power"), **{name: sc.Conv1d(9, 9, 1) for name in names}}
        pipe = sc.Pipeline(stages, sample_rate=8000)
        pipe.save(tmp_path / "pipe.safetensors")
        assert_same(pipe, sc.Pipeline.load(tmp_path / "pipe.safetensors"))


def test_a_name_inside_a_composition_is_refused() -> None:
    text = 'sample_rate = 8000\n[[stages]]\nstage = "sequential"\nlayers = [{stage = "stft", name = "x"}]'
    with pytest.raises(ValueError, match=r"unknown key 'name' in stage 'stft'"):
        sc.Pipeline.from_toml(text)


def test_a_window_with_a_tuple_inside_survives_the_file() -> None:
    pipe = sc.Pipeline([sc.ConvSTFT(16, window=("general_cosine", (0.5, 0.5)), output="power")], sample_rate=8000)
    twin = sc.Pipeline.from_toml(pipe.to_toml())
    assert torch.equal(pipe(noise(1, 90).float()), twin(noise(1, 90).float()))


def test_a_torch_layer_norm_is_written_as_ours(tmp_path: Path) -> None:
    norm = nn.LayerNorm(9, eps=1e-3)
    nn.init.normal_(norm.weight)
    pipe = sc.Pipeline([sc.ConvSTFT(16, output="power"), norm], sample_rate=8000)
    pipe.save(tmp_path / "pipe.safetensors")
    twin = sc.Pipeline.load(tmp_path / "pipe.safetensors")
    assert torch.equal(pipe(noise(1, 90).float()), twin(noise(1, 90).float()))


@pytest.mark.parametrize("override", [{"where": 3}, {"name": 3}, {"text": 3}, {"source": 3}, {"cls": 3}])
def test_overrides_of_any_name_are_looked_up_among_the_stages(override: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="unknown stage or key"):
        sc.Pipeline.from_preset("logmel", **override)


@pytest.mark.parametrize("key", ["stft.center", "mel.learn"])
@pytest.mark.parametrize("value", ["False", "no", 0, "delta"])
def test_a_flag_is_true_or_false_and_nothing_that_counts_as_true(key: str, value: object) -> None:
    with pytest.raises(ValueError, match=r"must be True or False \(true or false in TOML\)"):
        sc.Pipeline.from_preset("logmel", **{key: value})


def test_a_sample_rate_is_no_flag() -> None:
    with pytest.raises(ValueError, match=r"sample_rate \(=True\) must be an integer"):
        sc.Pipeline.from_preset("logmel", sample_rate=True)


def test_saving_into_a_missing_folder_names_the_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no folder .*missing to save pipe.safetensors in"):
        sc.Pipeline.from_preset("logmel").save(tmp_path / "missing" / "pipe.safetensors")


@pytest.mark.parametrize("dtype", ["nonsense", "int64", "nn"])
def test_a_file_of_a_type_that_is_none_is_refused(tmp_path: Path, dtype: str) -> None:
    metadata = {"pipeline": sc.Pipeline.from_preset("logmel").to_toml(), "dtype": dtype}
    save_file({}, tmp_path / "pipe.safetensors", metadata=metadata)
    with pytest.raises(ValueError, match=rf"names no floating dtype: '{dtype}'"):
        sc.Pipeline.load(tmp_path / "pipe.safetensors")


@pytest.mark.parametrize(
    "layers",
    [
        [sc.Log(), sc.DCT(13, n_mels=201)],
        [sc.Mel(40, sample_rate=16000, n_fft=400), sc.Conv1d(40, 23, 1), sc.DCT(13, n_mels=23)],
        [sc.Mel(20, sample_rate=16000, n_fft=400), sc.StackFrames(2), sc.DCT(13, n_mels=40)],
        [sc.Mel(20, sample_rate=16000, n_fft=400), sc.PCEN(bias=3)],
        [sc.Mel(20, sample_rate=16000, n_fft=400), sc.PCEN(bias=0)],
    ],
    ids=["without a mel", "channels changed", "frames stacked", "a bias of 3", "a bias of 0"],
)
def test_sizes_and_numbers_of_ones_own_survive_the_file(layers: list[torch.nn.Module], tmp_path: Path) -> None:
    pipe = sc.Pipeline([sc.ConvSTFT(output="power"), *layers], sample_rate=16000)
    pipe.save(tmp_path / "pipe.safetensors")
    x = noise(1, 4000)
    assert torch.equal(sc.Pipeline.load(tmp_path / "pipe.safetensors")(x), pipe(x))
