"""TOML: every stage survives it, and a faulty one is told by its place."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import speechconv as sc
from speechconv.pipeline import parse_pipeline
from speechconv.stages import STAGES
from tests.pipelines import EVERY_STAGE, FAMILY_STAGES, FEATURE_STAGES, WAVEFORM_STAGES, assert_same, trained


def test_toml_round_trip_of_every_stage_nested_ones_included() -> None:
    texts = (EVERY_STAGE, WAVEFORM_STAGES, FEATURE_STAGES, FAMILY_STAGES)
    pipes = [sc.Pipeline.from_toml(text) for text in texts]
    kinds = {type(module) for pipe in pipes for module in pipe.modules()}
    assert kinds >= {kind for kind in STAGES.values() if kind.__module__.startswith("speechconv")}
    assert [name for name, _ in pipes[0].named_children()][:4] == ["stft", "bands", "log", "conv1d"]
    for pipe in pipes:
        twin = sc.Pipeline.from_toml(pipe.to_toml())
        twin.load_state_dict(trained(pipe).state_dict())
        assert_same(pipe, twin)


def test_tables_round_trip_as_toml_does() -> None:
    for text in (EVERY_STAGE, WAVEFORM_STAGES, FEATURE_STAGES, FAMILY_STAGES):
        pipe = sc.Pipeline.from_toml(text)
        twin = sc.Pipeline.from_tables(pipe.to_tables(), sample_rate=pipe.sample_rate)
        assert pipe.to_tables() == tomllib.loads(pipe.to_toml())["stages"]
        assert twin.to_toml() == pipe.to_toml()
        assert (twin.training, twin.fresh_random) == (False, pipe.fresh_random)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ("stft", "stages in the tables must be a list of tables, [[stages]] or [{stage = ...}]; got 'stft'."),
        ([], "a pipeline needs at least one stage."),
        ([{"stage": "sftf"}], "unknown stage 'sftf' in the tables; did you mean 'stft'? Accepted: "),
        ([{"stage": "relu"}], "the first stage must take a waveform, as ConvSTFT does; ReLU takes frames."),
    ],
)
def test_refused_tables_say_what_is_wrong(tables: Any, message: str) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(message)}"):
        sc.Pipeline.from_tables(tables, sample_rate=16000)


def test_a_table_among_layers_is_told_where_tables_go() -> None:
    tables: Any = [sc.ConvSTFT(400, output="power"), {"stage": "mel"}]
    with pytest.raises(TypeError, match=r"^stage 'dict' is a table, not a layer; Pipeline\.from_tables builds layers"):
        sc.Pipeline(tables, sample_rate=16000)


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
