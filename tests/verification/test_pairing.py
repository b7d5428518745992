"""The layout of a bank is told by how its rows pair up."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from speechconv.verification.filter_bank import Layout
from tests.verification.weight_files import (
    as_layout,
    bank,
    gabor_rows,
    one_line,
    stft_rows,
)

BANKS = {
    "stft": stft_rows,
    "mel-spaced gabor": gabor_rows,
    "time-reversed": lambda: (a := torch.randn(24, 64).double(), a.flip(1)),
    "ten percent noise": lambda: tuple(x + 0.1 * x.norm() * (n := torch.randn_like(x)) / n.norm() for x in stft_rows()),
}


@pytest.mark.parametrize("layout", ["stacked", "interleaved", "separate", "real"])
@pytest.mark.parametrize("kind", BANKS)
def test_the_layout_is_told_by_how_rows_pair_up(kind: str, layout: Layout, tmp_path: Path) -> None:
    real, imag = BANKS[kind]()
    if layout == "real":
        real = real[: len(real) // 2 * 2]  # an odd number would be no riddle
    save_file(as_layout(layout, real, imag), tmp_path / "bank.safetensors")
    found = bank(tmp_path / "bank.safetensors")
    assert found.layout == layout
    assert torch.equal(found.real, real)
    assert (None if found.imag is None else found.imag.tolist()) == (None if layout == "real" else imag.tolist())


def test_random_filters_are_no_pairs_unless_one_says_so(tmp_path: Path) -> None:
    save_file({"w": torch.randn(64, 1, 100)}, tmp_path / "bank.safetensors")
    assert bank(tmp_path / "bank.safetensors").layout == "real"
    forced = bank(tmp_path / "bank.safetensors", layout="interleaved")
    assert torch.equal(forced.real, bank(tmp_path / "bank.safetensors").real[::2])


def test_dense_real_filters_are_no_interleaved_pairs(tmp_path: Path) -> None:
    real, _ = gabor_rows(filters=200)
    save_file({"w": real}, tmp_path / "bank.safetensors")
    assert bank(tmp_path / "bank.safetensors").layout == "real"


def test_noisy_pairs_as_like_as_their_neighbours_are_told_by_quadrature(tmp_path: Path) -> None:
    dense = gabor_rows(filters=200)
    real, imag = (x + 0.3 * x.norm() * (n := torch.randn_like(x)) / n.norm() for x in dense)
    save_file(as_layout("interleaved", real, imag), tmp_path / "bank.safetensors")
    assert bank(tmp_path / "bank.safetensors").layout == "interleaved"


def test_of_two_tensors_none_may_be_complex(tmp_path: Path) -> None:
    real, imag = stft_rows()
    torch.save({"a": real, "b": torch.complex(real, imag)}, tmp_path / "bank.pt")
    assert bank(tmp_path / "bank.pt", "b").layout == "stacked"
    assert "one is complex" in one_line(tmp_path / "bank.pt", "a,b")
