"""Which tensors of a model look like its filters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import speechconv as sc
from tests.verification.weight_files import (
    TAPS,
    bank,
    stft_rows,
)


def test_sine_and_cosine_of_nnaudio_are_found_among_its_other_buffers(tmp_path: Path) -> None:
    real, imag = stft_rows()
    state = {
        "wsin": -imag[:, None],
        "wcos": real[:, None],
        "window_mask": torch.ones(1, TAPS, 1),
        "lengths": torch.ones(33),
    }
    torch.save(state, tmp_path / "nnaudio.pt")
    found = bank(tmp_path / "nnaudio.pt")
    assert (found.name, found.layout) == ("wcos,wsin", "separate")
    assert torch.equal(found.real, real)


def test_torchlibrosa_s_forward_transform_is_preferred_to_its_mel_matrix_and_linear_layers(tmp_path: Path) -> None:
    real, imag = stft_rows()
    prefix = "spectrogram_extractor.stft"
    state = {
        "logmel_extractor.melW": torch.rand(33, 20),
        "fc.weight": torch.randn(128, 128),
        f"{prefix}.conv_real.weight": real[:, None],
        f"{prefix}.conv_imag.weight": imag[:, None],
    }
    torch.save(state, tmp_path / "panns.pth")
    assert bank(tmp_path / "panns.pth").name == f"{prefix}.conv_real.weight,{prefix}.conv_imag.weight"


def test_names_that_speak_of_filters_win_then_shapes_and_never_the_inverse(tmp_path: Path) -> None:
    state = {
        "stft.forward_basis": torch.randn(66, 1, 64),
        "stft.inverse_basis": torch.randn(66, 1, 64),
        "block.depthwise.weight": torch.randn(64, 1, 31),
        "mel_basis": torch.randn(40, 33),
    }
    save_file(state, tmp_path / "model.safetensors")
    assert bank(tmp_path / "model.safetensors").name == "stft.forward_basis"


def test_several_equally_good_candidates_are_listed_with_their_shapes(tmp_path: Path) -> None:
    save_file({"a.stft": torch.randn(258, 1, 256), "b.stft": torch.randn(130, 1, 128)}, tmp_path / "two.safetensors")
    with pytest.raises(ValueError, match=r"2 tensors.*--tensor.*a.stft \(258, 1, 256\), b.stft \(130, 1, 128\)"):
        bank(tmp_path / "two.safetensors")
    assert bank(tmp_path / "two.safetensors", "b.stft").rows.shape == (130, 128)


@pytest.mark.parametrize("learn", ["window", "freq", "delta"])
def test_deviations_in_a_bare_state_dict_are_not_taken_for_filters(learn: Any, tmp_path: Path) -> None:
    pipe = sc.Pipeline.from_preset("logmel", **{"stft.learn": learn})
    torch.save(pipe.state_dict(), tmp_path / "weights.pt")
    with pytest.raises(ValueError, match=r"holds stft\.\w+_delta, by which a ConvSTFT deviates .* pipe\.save"):
        bank(tmp_path / "weights.pt")


def test_an_inverse_transform_is_last_whatever_its_name_and_shape(tmp_path: Path) -> None:
    save_file(
        {"istft.weight": torch.randn(66, 1, 64), "conv.weight": torch.randn(66, 1, 64)}, tmp_path / "a.safetensors"
    )
    assert bank(tmp_path / "a.safetensors").name == "conv.weight"
    save_file({"decoder.weight": torch.randn(66, 1, 64), "mel_basis": torch.randn(66, 64)}, tmp_path / "b.safetensors")
    assert bank(tmp_path / "b.safetensors").name == "mel_basis"


def test_a_convolution_s_shape_counts_before_its_name(tmp_path: Path) -> None:
    save_file({"conv.weight": torch.randn(66, 1, 64), "filterbank": torch.randn(66, 64)}, tmp_path / "a.safetensors")
    assert bank(tmp_path / "a.safetensors").name == "conv.weight"
