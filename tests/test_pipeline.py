"""Pipelines by preset and by hand: what they promise, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import speechconv as sc
from speechconv.presets import preset_names, preset_text
from tests.law import stream
from tests.pipelines import EVERY_STAGE, assert_same, noise, trained

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
