"""The bank of a pipeline or file, references in words, and what is no bank of filters."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.signal import get_window
from torch import Tensor

import speechconv as sc
from speechconv.verification.filter_bank import FilterBank
from speechconv.verification.sources import bank_of, is_encoder_checkpoint, parse_reference
from tests.adapters.models import transformers_model
from tests.verification.weight_files import (
    HOP,
    bank,
    one_line,
    stacked,
    stft_rows,
    write_safetensors,
)


@pytest.mark.parametrize("learn", [None, "window", "freq", "delta", "free"])
def test_a_saved_pipeline_tells_its_own_kernel_hop_and_sample_rate(learn: Any, tmp_path: Path) -> None:
    stft = sc.ConvSTFT(64, hop_length=20, learn=learn, output="power")
    for parameter in stft.parameters():
        parameter.data += 0.01 * torch.randn(parameter.shape)
    sc.Pipeline([stft], sample_rate=8000).save(tmp_path / "pipe.safetensors")
    found = bank(tmp_path / "pipe.safetensors")
    assert (found.name, found.layout, found.hop_length, found.sample_rate) == ("stft.kernel", "stacked", 20, 8000)
    impulse = torch.zeros(1, 64)
    impulse[0, 5] = 1
    answer = stft.valid(impulse)[0, 0]
    expected = found.filters[:, 5].abs().square().float()
    torch.testing.assert_close(answer, expected, rtol=1e-4, atol=1e-6)  # one tap of each filter, float32


def test_a_pipeline_in_memory_gives_its_bank_and_an_encoder_of_several_layers_stays_a_pipeline() -> None:
    pipe = sc.Pipeline.from_preset("logmel")
    found = bank_of(pipe)
    assert isinstance(found, FilterBank)
    assert (found.name, found.hop_length, found.sample_rate) == ("stft.kernel", 160, 16000)
    encoder = sc.Pipeline([sc.FeatureEncoder(channels=8)], sample_rate=16000)
    assert bank_of(encoder) is encoder
    first = bank_of(encoder, next(name for name, w in encoder.state_dict().items() if w.shape == (8, 1, 10)))
    assert isinstance(first, FilterBank)
    assert first.rows.shape == (8, 10)


def test_two_banks_in_a_pipeline_are_listed() -> None:
    short, long = (sc.ConvSTFT(n, hop_length=80, output="power") for n in (128, 256))
    pipe = sc.Pipeline([sc.Parallel(short, long, join="cat")], sample_rate=16000)
    with pytest.raises(ValueError, match=r"holds 2 banks; choose by --tensor NAME: .*\(130, 128\), .*\(258, 256\)"):
        bank_of(pipe)


def test_a_wav2vec2_checkpoint_is_told_from_a_bank(tmp_path: Path) -> None:
    model = transformers_model()
    model.save_pretrained(tmp_path / "folder")
    write_safetensors(tmp_path / "bank.safetensors", stacked())
    assert is_encoder_checkpoint(tmp_path / "folder")
    assert is_encoder_checkpoint(tmp_path / "folder" / "model.safetensors")
    assert not is_encoder_checkpoint(tmp_path / "bank.safetensors")


@pytest.mark.parametrize("name", ["model.safetensors", "model.pt"])
def test_convolutions_of_another_model_are_no_wav2vec2_encoder(name: str, tmp_path: Path) -> None:
    state = {
        "stft.weight": stacked(),
        "conv_layers.0.weight": torch.randn(8, 66, 3),
        "conv_layers.1.weight": torch.ones(8),
    }
    (save_file if name.endswith("safetensors") else torch.save)(state, tmp_path / name)
    assert not is_encoder_checkpoint(tmp_path / name)
    assert bank(tmp_path / name).name == "stft.weight"


def test_whether_it_is_an_encoder_is_told_by_names_without_reading_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transformers_model().save_pretrained(tmp_path)
    monkeypatch.delattr("speechconv.verification.weight_file._safetensors")
    assert is_encoder_checkpoint(tmp_path / "model.safetensors")


# References


def test_a_reference_in_words_is_scipy_s_windowed_fourier_basis() -> None:
    start = FilterBank("w", *stft_rows(), "stacked", 8000, HOP)
    reference, words = parse_reference("stft:window=hamming,win_length=40", start)
    window = np.pad(get_window("hamming", 40), 12)
    judge = np.fft.rfft(np.diag(window)).T  # the transform of each impulse under the window
    torch.testing.assert_close(
        reference.filters, torch.from_numpy(judge), rtol=0, atol=1e-14
    )  # rounding of numpy's FFT
    assert (reference.hop_length, reference.sample_rate) == (HOP, 8000)
    assert words == "STFT: n_fft 64, hop_length 16, window hamming, win_length 40"


def test_a_reference_in_words_may_have_a_symmetric_window_and_a_hop_of_its_own() -> None:
    start = FilterBank("w", *stft_rows(), "stacked", 8000)
    reference, words = parse_reference("stft:periodic=false,hop_length=20", start)
    judge = np.fft.rfft(np.diag(get_window("hann", 64, fftbins=False))).T
    torch.testing.assert_close(reference.filters, torch.from_numpy(judge), rtol=0, atol=1e-14)  # numpy's FFT rounds
    assert reference.hop_length == 20
    assert words == "STFT: n_fft 64, periodic False, hop_length 20"
    assert torch.equal(
        parse_reference("stft:periodic=true", start)[0].filters, parse_reference("stft", start)[0].filters
    )


def test_a_reference_may_be_a_file(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "bank.safetensors", stacked())
    start = FilterBank("w", *stft_rows(), "stacked", 8000, HOP)
    reference, words = parse_reference(str(tmp_path / "bank.safetensors"), start)
    assert torch.equal(reference.rows, stacked()[:, 0].double())
    assert "front.weight of" in words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("stft:nfft=400", r"unknown key 'nfft'.*did you mean 'n_fft'.*n_fft, hop_length, win_length, window"),
        ("stft:n_fft=many", "n_fft must be a number of samples, got 'many'"),
        ("stft:n_fft", "expected n_fft=VALUE"),
        ("stft:periodic=1", "periodic must be true or false, got '1'"),
        ("stft:window=square", "scipy.signal.get_window"),
        ("stft:win_length=4000", r"win_length \(=4000\) must not be above n_fft"),
        ("nowhere.pt", "no weights file at nowhere.pt"),
        ("wavenet-encoder", "encoder of several layers"),
    ],
)
def test_a_bad_reference_says_what_would_be_good(text: str, words: str) -> None:
    start = FilterBank("w", *stft_rows(), "stacked", 8000, HOP)
    with pytest.raises((ValueError, OSError), match=words):
        parse_reference(text, start)


# What is no bank of filters


@pytest.mark.parametrize(
    ("weight", "words"),
    [
        (torch.full((8, 1, 32), float("nan")), "NaN or infinite weights, in 8 of 8 filters, first in 0"),
        (torch.zeros(8, 1, 32), "only zeros"),
        (torch.randn(8, 2, 32), "holds no filters.*front.weight"),
        (torch.randn(8), "holds no filters"),
        (torch.ones(8, 1, 32, dtype=torch.int64), "no floating tensors|holds no filters"),
    ],
)
def test_weights_that_are_no_filters_are_told(weight: Tensor, words: str, tmp_path: Path) -> None:
    write_safetensors(tmp_path / "bank.safetensors", weight)
    assert re.search(words, one_line(tmp_path / "bank.safetensors"))


def test_names_shapes_and_layouts_that_do_not_fit_are_told(tmp_path: Path) -> None:
    path = tmp_path / "bank.safetensors"
    save_file({"conv.weight": torch.randn(9, 1, 32), "mix.weight": torch.randn(8, 2, 32)}, path)
    assert "did you mean 'conv.weight'?" in one_line(path, "conv.wieght")
    assert "has the shape (8, 2, 32); expected (filters, 1, taps)" in one_line(path, "mix.weight")
    assert "9 filters, an odd number" in one_line(path, "conv.weight", layout="stacked")
    assert "separate takes two" in one_line(path, "conv.weight", layout="separate")
    assert "layout (='rows') must be one of stacked" in one_line(path, "", layout="rows")
    save_file({"a": torch.randn(9, 1, 32), "b": torch.randn(9, 1, 16)}, path)
    assert "must have one shape, got (9, 32) and (9, 16)" in one_line(path, "a,b")
