"""A stage that cannot be built or written is told by its place, with what is possible there."""

from __future__ import annotations

import re
from typing import Any

import pytest

import speechconv as sc
from speechconv.stages import STAGES, Table, build_stages, check_known, describe_stage
from tests.stage_examples import CONTEXT


def test_a_layer_of_ones_own_has_no_stage_name() -> None:
    class Own(sc.Layer):
        pass

    with pytest.raises(
        TypeError, match=r"^Own has no stage name, so it cannot be written as TOML; the stages are stft, "
    ):
        describe_stage(sc.Residual(Own()))


ACCEPTED_STAGES = ", ".join(STAGES)
STFT_KEYS = "n_fft, hop_length, win_length, window, periodic, center, pad_mode, drop_last, learn, output"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, f"a stage in my.toml has no key 'stage'; name one of {ACCEPTED_STAGES}."),
        (
            {"stage": "stfd"},
            f"unknown stage 'stfd' in my.toml; did you mean 'stft'? Accepted: {ACCEPTED_STAGES}.",
        ),
        ({"stage": "xyzzy"}, f"unknown stage 'xyzzy' in my.toml; Accepted: {ACCEPTED_STAGES}."),
        ({"stage": 5}, f"unknown stage 5 in my.toml; Accepted: {ACCEPTED_STAGES}."),
        (
            {"stage": "stft", "hop_size": 160},
            f"unknown key 'hop_size' in stage 'stft' of my.toml; did you mean 'hop_length'? Accepted: {STFT_KEYS}.",
        ),
        (
            {"stage": "relu", "inplace": True},
            "unknown key 'inplace' in stage 'relu' of my.toml; Accepted: none.",
        ),
        (
            {"stage": "glu", "dim": 1},
            "unknown key 'dim' in stage 'glu' of my.toml; Accepted: none.",
        ),
        (
            {"stage": "mel", "sample_rate": 8000},
            "sample_rate of stage 'mel' of my.toml is handed down by the pipeline; leave it out.",
        ),
        (
            {"stage": "mel", "n_fft": 400},
            "n_fft of stage 'mel' of my.toml is handed down by the stft before it; leave it out.",
        ),
        ({"stage": "stft", "n_fft": 0}, "stage 'stft' of my.toml: n_fft (=0) must be an integer >= 1."),
        ({"stage": "linear", "in_features": 4}, "stage 'linear' of my.toml: "),
        ({"stage": "residual"}, "stage 'residual' of my.toml needs the key 'body', a list of stages."),
        (
            {"stage": "parallel", "join": "sum"},
            "stage 'parallel' of my.toml needs the key 'branches', a list of stages.",
        ),
        (
            {"stage": "residual", "body": [{"stage": "relu"}], "scales": 0.5},
            "unknown key 'scales' in stage 'residual' of my.toml; did you mean 'scale'? Accepted: scale.",
        ),
        (
            {"stage": "sequential", "layers": [{"stage": "relu"}], "scale": 0.5},
            "unknown key 'scale' in stage 'sequential' of my.toml; Accepted: none.",
        ),
        (
            {"stage": "residual", "body": [{"stage": "rely"}]},
            f"unknown stage 'rely' in stage 'residual' of my.toml; did you mean 'relu'? Accepted: {ACCEPTED_STAGES}.",
        ),
        (
            {"stage": "residual", "body": {"stage": "relu"}},
            "stages in stage 'residual' of my.toml must be a list of tables, [[stages]] or [{stage = ...}]; got {",
        ),
        (
            {"stage": "parallel", "branches": [{"stage": "relu"}, {"stage": "tanh"}]},
            "stages in stage 'parallel' of my.toml must be a list of tables, [[stages]] or [{stage = ...}]; got {",
        ),
        (
            {"stage": "sequential", "layers": "relu"},
            "stages in stage 'sequential' of my.toml must be a list of tables, [[stages]] or [{stage = ...}]; got 'r",
        ),
    ],
    ids=str,
)
def test_a_refused_table_is_named_with_what_is_possible(table: Table, message: str) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(message)}"):
        build_stages([table], CONTEXT, "my.toml")


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ({"n_fft": 400}, "stage 'mel' of my.toml needs sample_rate from the pipeline, and there is none."),
        ({"sample_rate": 8000}, "stage 'mel' of my.toml needs n_fft from the stft before it, and there is none."),
    ],
    ids=["sample_rate", "n_fft"],
)
def test_a_stage_that_lacks_what_is_handed_down_says_from_whom(context: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(message)}$"):
        build_stages([{"stage": "mel"}], context, "my.toml")


def test_known_names_pass_and_the_nearest_is_offered_to_others() -> None:
    check_known(["log", "mel"], ("mel", "log", "stft"), "stage", "my.toml")
    check_known([], (), "stage", "my.toml")
    with pytest.raises(
        ValueError, match=r"^unknown key 'n_mel' in x; did you mean 'n_mels'\? Accepted: f_min, n_mels\.$"
    ):
        check_known(["f_min", "n_mel"], ("f_min", "n_mels"), "key", "x")
