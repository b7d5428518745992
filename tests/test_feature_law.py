"""Presets without weights and the law: live equals offline, a row in a padded batch is that row alone."""

from __future__ import annotations

import warnings

import pytest
import torch

import speechconv as sc
from tests.feature_sounds import (
    CALIBRATED,
    DTYPES,
    KALDI,
    STREAMS,
    WHOLE,
    preset,
    sound,
)
from tests.law import assert_close, stream

LAW = {torch.float64: 1e-12, torch.float32: 1e-5}  # live and batched rows, of the largest value


def streamable(name: str) -> sc.Pipeline:
    if name in CALIBRATED:
        return sc.Pipeline.from_preset(name).calibrate(torch.from_numpy(sound("speech"))[None].float())
    return preset(name)


@pytest.mark.parametrize("name", [*STREAMS, *KALDI, *CALIBRATED])
def test_what_can_stream_keeps_the_law(name: str) -> None:
    assert sc.check_streaming(streamable(name), tolerance=LAW[torch.float64]).worst <= LAW[torch.float64]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", [*STREAMS, *KALDI, *CALIBRATED])
def test_live_equals_offline(name: str, dtype: torch.dtype) -> None:
    """Complex spectra too; worst 6.7e-16 and 9.9e-8."""
    pipe = streamable(name).to(dtype)
    x = torch.from_numpy(sound("speech")).to(dtype)
    with torch.no_grad():
        expected = pipe(x[None])[0]
    assert len(expected) >= 47
    live = stream(sc.Session(pipe), x, [0, 1, 777, 160, 4000, 2049, 1, 9000, 8012])
    assert live.dtype == expected.dtype
    assert_close(live, expected, LAW[dtype])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", [*STREAMS, *KALDI, *WHOLE, *CALIBRATED])
def test_a_batch_padded_with_nan_equals_its_rows(name: str, dtype: torch.dtype) -> None:
    """Worst 6.7e-14 and 1.4e-6: Seamless normalises 700 samples by the two frames they give."""
    pipe = preset(name).to(dtype)
    sounds = (sound("noise", 9000), sound("speech")[:700], sound("speech")[6000:6700], sound("tones", 4001))
    rows = [torch.from_numpy(x).to(dtype) for x in sounds]
    lengths = [len(row) for row in rows]
    batch = torch.full((len(rows), 9100), torch.nan, dtype=dtype)
    for padded, row in zip(batch, rows, strict=True):
        padded[: len(row)] = row
    y, frames = pipe(batch, torch.tensor(lengths))
    for i, row in enumerate(rows):
        alone = pipe(row[None])[0]
        assert frames[i] == len(alone) == pipe.output_lengths(len(row))
        assert_close(y[i, : frames[i]], alone, LAW[dtype])
        assert not y[i, frames[i] :].any()


@pytest.mark.parametrize("name", [*WHOLE, *CALIBRATED])
def test_what_needs_the_whole_utterance_says_what_to_use_instead(name: str) -> None:
    pipe = preset(name)
    with pytest.raises(sc.NotStreamable, match=r"cannot stream: .* Instead: ") as caught:
        pipe.stream()
    path, word = {
        "whisper": ("minimum_length", "the pipeline without this stage"),
        "whisper-128": ("minimum_length", "the pipeline without this stage"),
        "librosa-mfcc": ("dynamic_range", "a fixed floor: Log(floor=...) without this stage"),
        "torchaudio-mfcc": ("dynamic_range", "a fixed floor: Log(floor=...) without this stage"),
        "seamless-fbank": ("cmvn", "statistics='frozen' with calibrate(audio), and save() for the command line"),
        "nemo-mel": ("cmvn", "statistics='frozen' with calibrate(audio), and save() for the command line"),
    }[name]
    assert (caught.value.path, caught.value.alternatives[0]) == (path, word)


@pytest.mark.parametrize("name", [*STREAMS, *WHOLE, *CALIBRATED])
def test_a_preset_survives_toml(name: str) -> None:
    pipe = preset(name)
    text = pipe.to_toml()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "[0-9]+ of 128 mel bands hold no FFT bin")
        assert sc.Pipeline.from_toml(text).to_toml() == text
    assert not pipe.fresh_random
