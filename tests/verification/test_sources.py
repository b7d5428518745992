"""Filters out of files: every kind of file, every layout, and one clear line for what is no bank of filters."""

from __future__ import annotations

import os
import pickle
import re
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file
from scipy.signal import get_window
from torch import Tensor

import speechconv as sc
from speechconv.verification.filter_bank import FilterBank, Layout
from speechconv.verification.sources import bank_of, is_encoder_checkpoint, parse_reference, read_bank
from speechconv.verification.torchscript import read_torchscript
from tests.adapters.models import transformers_model
from tests.verification.banks import silero

TAPS, HOP = 64, 16


def stft_rows(taps: int = TAPS) -> tuple[Tensor, Tensor]:
    """cos and -sin under a periodic Hann window, by numpy."""
    n, k = np.arange(taps), np.arange(taps // 2 + 1)[:, None]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * n / taps)
    angle = 2 * np.pi * k * n / taps
    return torch.from_numpy(window * np.cos(angle)), torch.from_numpy(-window * np.sin(angle))


def gabor_rows(filters: int = 24, taps: int = 128) -> tuple[Tensor, Tensor]:
    """Gaussian pulses on a mel scale, each with its quadrature."""
    mel = np.linspace(200, 2600, filters)[:, None]
    frequency = 700 * (10 ** (mel / 2595) - 1) / 16000
    n = np.arange(taps) - taps / 2
    z = np.exp(-0.5 * (n * frequency) ** 2 + 2j * np.pi * frequency * n)
    return torch.from_numpy(np.real(z).copy()), torch.from_numpy(np.imag(z).copy())


def stacked() -> Tensor:
    return torch.cat(stft_rows()).float()[:, None]


def bank(path: Path | str, tensor: str | None = None, **options: Any) -> FilterBank:
    found = read_bank(path, tensor, **options)
    assert isinstance(found, FilterBank)
    return found


def write_safetensors(path: Path, weight: Tensor) -> None:
    save_file({"front.weight": weight, "head.bias": torch.randn(8)}, path)


def write_torch(path: Path, weight: Tensor) -> None:
    torch.save({"epoch": 3, "model": {"front.weight": torch.nn.Parameter(weight)}, "lists": [torch.randn(3)]}, path)


class Front(torch.nn.Module):
    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.front = torch.nn.Conv1d(1, len(weight), weight.shape[2], stride=HOP, bias=False)
        self.front.weight = torch.nn.Parameter(weight, requires_grad=False)
        self.register_buffer("mean", torch.randn(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.front(x)


def write_torchscript(path: Path, weight: Tensor) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch wants to be rid of TorchScript; its files will stay
        torch.jit.script(Front(weight)).save(str(path))


def onnx_model(weight: Tensor) -> onnx.ModelProto:
    if weight.dtype == torch.bfloat16:
        bits = weight.view(torch.int16).numpy().tobytes()
        tensor = helper.make_tensor("front.weight", TensorProto.BFLOAT16, weight.shape, bits, raw=True)
    else:
        tensor = numpy_helper.from_array(weight.numpy(), "front.weight")
    shape = numpy_helper.from_array(np.array([1, -1]), "shape")
    kind = tensor.data_type
    conv = helper.make_node("Conv", ["x", "front.weight"], ["y"], strides=[HOP])
    x = helper.make_tensor_value_info("x", kind, [1, 1, 1000])
    y = helper.make_tensor_value_info("y", kind, None)
    return helper.make_model(helper.make_graph([conv], "front", [x], [y], [tensor, shape]))


def write_onnx(path: Path, weight: Tensor) -> None:
    onnx.save(onnx_model(weight), path)


def write_onnx_with_external_data(path: Path, weight: Tensor) -> None:
    onnx.save(onnx_model(weight), path, save_as_external_data=True, location="weights.bin", size_threshold=0)


WRITERS: dict[str, tuple[str, Callable[[Path, Tensor], None]]] = {
    "safetensors": ("bank.safetensors", write_safetensors),
    "torch": ("bank.pt", write_torch),
    "torchscript": ("script.pt", write_torchscript),
    "onnx": ("bank.onnx", write_onnx),
    "external": ("external.onnx", write_onnx_with_external_data),
}


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


def test_a_torchscript_file_holds_what_torch_itself_loads_from_it(tmp_path: Path) -> None:
    write_torchscript(tmp_path / "script.pt", stacked())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # as above
        judge = torch.jit.load(str(tmp_path / "script.pt")).state_dict()
    ours = read_torchscript(tmp_path / "script.pt")
    assert ours.keys() == judge.keys()
    assert all(torch.equal(ours[name], judge[name]) for name in judge)


def as_layout(layout: Layout, real: Tensor, imag: Tensor) -> dict[str, Tensor]:
    match layout:
        case "stacked":
            return {"conv.weight": torch.cat((real, imag))[:, None]}
        case "interleaved":
            return {"conv.weight": torch.stack((real, imag), 1).flatten(0, 1).contiguous()}
        case "separate":
            return {"stft.conv_real.weight": real[:, None].clone(), "stft.conv_imag.weight": imag[:, None].clone()}
    return {"conv.weight": real[:, None].clone()}


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


def test_noisy_pairs_as_like_as_their_neighbours_are_told_by_quadrature(tmp_path: Path) -> None:
    dense = gabor_rows(filters=200)
    real, imag = (x + 0.3 * x.norm() * (n := torch.randn_like(x)) / n.norm() for x in dense)
    save_file(as_layout("interleaved", real, imag), tmp_path / "bank.safetensors")
    assert bank(tmp_path / "bank.safetensors").layout == "interleaved"


def test_several_equally_good_candidates_are_listed_with_their_shapes(tmp_path: Path) -> None:
    save_file({"a.stft": torch.randn(258, 1, 256), "b.stft": torch.randn(130, 1, 128)}, tmp_path / "two.safetensors")
    with pytest.raises(ValueError, match=r"2 tensors.*--tensor.*a.stft \(258, 1, 256\), b.stft \(130, 1, 128\)"):
        bank(tmp_path / "two.safetensors")
    assert bank(tmp_path / "two.safetensors", "b.stft").rows.shape == (130, 128)


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


# references


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


# what is no bank of filters


def one_line(path: Path, tensor: str | None = None, **options: object) -> str:
    """The message that reading gives."""
    with pytest.raises((ValueError, OSError)) as caught:
        bank(path, tensor, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message or (tensor or "") in message
    return message


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


class Payload:
    """A pickle that makes a file when it is read with its code."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., int], tuple[str]]:
        return os.system, (f"touch '{self.path}'",)


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
