"""Filters out of every kind of file, and one clear line for a file that cannot be read."""

from __future__ import annotations

import pickle
import re
import sys
import warnings
import zipfile
from pathlib import Path

import onnx
import pytest
import torch

from speechconv.verification.torchscript import read_torchscript
from tests.verification.banks import silero
from tests.verification.weight_files import (
    HOP,
    WRITERS,
    Payload,
    bank,
    one_line,
    stacked,
    stft_rows,
    write_onnx,
    write_onnx_with_external_data,
    write_torchscript,
)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("kind", WRITERS)
def test_every_kind_of_file_gives_back_the_filters_that_were_saved(
    kind: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    name, write = WRITERS[kind]
    write(tmp_path / name, stacked().to(dtype))
    found = bank(tmp_path / name)
    assert found.name.endswith("front.weight")
    assert (found.layout, found.sample_rate) == ("stacked", 16000)
    assert found.hop_length == (HOP if name.endswith("onnx") else None)
    assert found.rows.dtype == torch.float64
    torch.testing.assert_close(found.rows, stacked()[:, 0].to(dtype).double(), rtol=0, atol=0)  # reading rounds nothing


@pytest.mark.parametrize("kind", [kind for kind in WRITERS if kind != "external"])
def test_complex_filters_in_a_file_are_pairs(kind: str, tmp_path: Path) -> None:
    real, imag = stft_rows()
    name, write = WRITERS[kind]
    write(tmp_path / name, torch.complex(real, imag).to(torch.complex64)[:, None])
    found = bank(tmp_path / name)
    assert found.name.endswith("front.weight")
    assert found.layout == "stacked"
    assert torch.equal(found.real, real.float().double())
    assert found.imag is not None
    assert torch.equal(found.imag, imag.float().double())


def test_a_torchscript_file_holds_what_torch_itself_loads_from_it(tmp_path: Path) -> None:
    write_torchscript(tmp_path / "script.pt", stacked())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # as above
        judge = torch.jit.load(str(tmp_path / "script.pt")).state_dict()
    ours = read_torchscript(tmp_path / "script.pt")
    assert ours.keys() == judge.keys()
    assert all(torch.equal(ours[name], judge[name]) for name in judge)


def test_the_real_silero_is_read_from_safetensors_onnx_and_torchscript_alike() -> None:
    data = silero().parent
    plain = bank(silero())
    assert (plain.name, plain.layout, plain.real.shape) == ("stft_conv.weight", "stacked", (129, 256))
    by_onnx = bank(data / "silero_vad_16k_op15.onnx")
    assert by_onnx.hop_length == 128
    assert torch.equal(by_onnx.rows, plain.rows)
    by_script = bank(data / "silero_vad.jit", "_model.stft.forward_basis_buffer")
    assert torch.equal(by_script.rows, plain.rows)
    inner_graph = bank(data / "silero_vad.onnx", "If_0_then_branch__Inline_0__stft.forward_basis_buffer")
    assert torch.equal(inner_graph.rows, plain.rows)


# What cannot be read


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.95])
def test_a_truncated_file_is_told_in_one_line(kind: str, share: float, tmp_path: Path) -> None:
    name, write = WRITERS[kind]
    write(tmp_path / name, stacked())
    cut = tmp_path / ("weights.bin" if kind == "external" else name)
    data = cut.read_bytes()
    cut.write_bytes(data[: int(share * len(data))])
    message = one_line(tmp_path / name)
    assert re.search("empty" if share == 0 and kind != "external" else "whole|cannot be read", message)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".onnx", ".jit"])
def test_text_under_any_suffix_is_told_in_one_line(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"notes{suffix}"
    path.write_text("these are no weights at all\n" * 20)
    assert "whole" in one_line(path)


def test_code_in_a_torch_file_is_refused_and_not_run(tmp_path: Path) -> None:
    torch.save({"weight": stacked(), "extra": Payload(tmp_path / "ran")}, tmp_path / "evil.pt")
    (tmp_path / "evil.bin").write_bytes(pickle.dumps(Payload(tmp_path / "ran")))
    assert "would run code" in one_line(tmp_path / "evil.pt")
    one_line(tmp_path / "evil.bin")
    assert not (tmp_path / "ran").exists()
    torch.load(tmp_path / "evil.pt", weights_only=False)  # the payload does work
    assert (tmp_path / "ran").exists()


def test_code_in_a_torchscript_file_is_refused_and_not_run(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "evil.pt", "w") as archive:
        archive.writestr("evil/constants.pkl", pickle.dumps(()))
        archive.writestr("evil/data.pkl", pickle.dumps(Payload(tmp_path / "ran"), protocol=2))
    assert "never runs" in one_line(tmp_path / "evil.pt")
    assert not (tmp_path / "ran").exists()


def test_external_data_outside_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    write_onnx_with_external_data(tmp_path / "inner" / "bank.onnx", stacked())
    model = onnx.load(str(tmp_path / "inner" / "bank.onnx"), load_external_data=False)
    (tmp_path / "inner" / "weights.bin").rename(tmp_path / "weights.bin")
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "../weights.bin"
    (tmp_path / "inner" / "bank.onnx").write_bytes(model.SerializeToString())
    assert "cannot be read" in one_line(tmp_path / "inner" / "bank.onnx")


def test_paths_that_are_no_files_are_told(tmp_path: Path) -> None:
    assert "is a folder" in one_line(tmp_path)
    assert "no weights file" in one_line(tmp_path / "absent.pt")
    (tmp_path / "sound.wav").write_bytes(b"RIFF")
    assert "of no kind that verify reads: expected .safetensors, .onnx" in one_line(tmp_path / "sound.wav")


def test_without_the_package_onnx_the_message_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_onnx(tmp_path / "bank.onnx", stacked())
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match="pip install onnx"):
        bank(tmp_path / "bank.onnx")
