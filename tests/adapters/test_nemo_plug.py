"""Our pipelines as NeMo's preprocessor: NeMo's own models and its own preprocessor are the judge."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import speechconv as sc

# In a venv of its own, which pyright does not see.
# pyright: reportMissingImports=false
if not find_spec("nemo"):
    pytest.skip("NeMo is not installed: make test-toolkits", allow_module_level=True)

from nemo.collections.asr.models import EncDecCTCModel
from nemo.collections.asr.modules import AudioToMelSpectrogramPreprocessor
from nemo.core.classes.common import UnsafeTargetError
from omegaconf import OmegaConf

from speechconv.adapters.nemo import Preprocessor

LETTERS = " abcdefghijklmnopqrstuvwxyz"


def encoder() -> sc.FeatureEncoder:
    """R 400, S 320."""
    return sc.FeatureEncoder(channels=2, norm="layer", bias=True)


def model(feat_in: int, stage: Any = None) -> Any:
    """A small Conformer with CTC, its preprocessor NeMo's own unless given."""
    modules = "nemo.collections.asr.modules"
    sizes = {"n_layers": 1, "d_model": 16, "n_heads": 2, "conv_kernel_size": 3, "subsampling_factor": 2}
    config = {
        "sample_rate": 16000,
        "preprocessor": {"_target_": f"{modules}.AudioToMelSpectrogramPreprocessor"} if stage is None else stage,
        "encoder": {"_target_": f"{modules}.ConformerEncoder", "feat_in": feat_in, "subsampling": "striding", **sizes},
        "decoder": {
            "_target_": f"{modules}.ConvASRDecoder",
            "feat_in": 16,
            "num_classes": len(LETTERS),
            "vocabulary": list(LETTERS),
        },
    }
    return EncDecCTCModel(OmegaConf.create(config))


def loss_of(asr: Any, wav: Tensor, lengths: Tensor) -> Tensor:
    log_probs, frames, _ = asr(input_signal=wav, input_signal_length=lengths)
    text = torch.randint(len(LETTERS), (len(wav), 3))
    return asr.loss(log_probs=log_probs, targets=text, input_lengths=frames, target_lengths=torch.full((len(wav),), 3))


# Frames and lengths


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
def test_lengths_are_exact_for_every_length(dtype: torch.dtype) -> None:
    """int32 is what lhotse's collate_audio gives."""
    lengths = torch.arange(2401, dtype=dtype)
    frames, counts = Preprocessor(encoder())(input_signal=torch.randn(2401, 2400), length=lengths)
    assert frames.shape == (2401, 2, 7)
    assert counts.dtype == torch.int64
    assert counts.tolist() == [len(range(0, n - 399, 320)) for n in range(2401)]


def test_a_row_of_a_padded_batch_is_the_row_alone_and_its_padding_may_hold_anything() -> None:
    stage = Preprocessor(encoder())
    lengths = torch.tensor([4000, 0, 399, 2601])
    wav = torch.randn(4, 4000)
    wav[torch.arange(4000) >= lengths[:, None]] = torch.nan
    frames, counts = stage(input_signal=wav, length=lengths)
    for row, length, features, count in zip(wav, lengths, frames, counts, strict=True):
        alone, own = stage(input_signal=row[None, :length], length=length[None])
        assert own == count
        assert torch.allclose(features[:, :count], alone[0], atol=1e-6)
        assert not features[:, count:].any()


def test_nemo_mel_equals_nemos_own_preprocessor() -> None:
    """Every length, and the numbers of the valid frames."""
    theirs = AudioToMelSpectrogramPreprocessor(features=80, n_fft=512, window_size=0.025, dither=0.0, pad_to=0).eval()
    ours = Preprocessor("nemo-mel")
    lengths = torch.arange(513, 2514)
    wav = torch.zeros(len(lengths), 2513)
    assert torch.equal(ours(input_signal=wav, length=lengths)[1], theirs(input_signal=wav, length=lengths)[1])
    wav, lengths = 0.1 * torch.randn(2, 16000), torch.tensor([16000, 12345])
    frames, counts = ours(input_signal=wav, length=lengths)
    expected, _ = theirs(input_signal=wav, length=lengths)
    for row, other, count in zip(frames, expected, counts, strict=True):
        assert (row[:, :count] - other[:, :count]).abs().max() <= 1e-3  # float32, behind a logarithm and a division


def test_its_type_is_that_of_its_weights() -> None:
    stage = Preprocessor("logmel")
    wav, lengths = torch.randn(1, 4000), torch.tensor([4000])
    assert stage(input_signal=wav.double(), length=lengths)[0].dtype == torch.float32
    assert stage.bfloat16()(input_signal=wav, length=lengths)[0].dtype == torch.bfloat16


def test_a_preset_takes_overrides_and_a_pipeline_tells_its_sample_rate() -> None:
    stage = Preprocessor("logmel", {"sample_rate": 8000, "mel": {"n_mels": 12}})
    frames, _ = stage(input_signal=torch.zeros(1, 1600), length=torch.tensor([1600]))
    assert frames.shape == (1, 12, 11)
    assert stage._sample_rate == 8000


# In a model


def test_gradients_reach_every_filter() -> None:
    asr = model(feat_in=2)
    front = encoder()
    asr.preprocessor = Preprocessor(front)
    loss_of(asr, torch.randn(2, 16000), torch.tensor([16000, 12000])).backward()
    for name, parameter in front.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.flatten(1).any(1).all() if parameter.ndim > 1 else parameter.grad.any(), name


def test_gradients_reach_the_waveform_which_nemos_own_keeps_from_it() -> None:
    wav = torch.randn(1, 16000, requires_grad=True)
    for stage, learns in ((Preprocessor("nemo-mel"), True), (AudioToMelSpectrogramPreprocessor(), False)):
        frames, _ = stage(input_signal=wav, length=torch.tensor([16000]))
        assert frames.requires_grad is learns


@pytest.mark.filterwarnings("ignore:'pin_memory' argument:UserWarning")  # of NeMo's own data loaders
def test_a_model_transcribes_arrays_and_files(audio_samples: Path) -> None:
    """The file has 44.1 kHz, which NeMo brings to the rate that the pipeline tells it."""
    asr = model(feat_in=80).eval()
    asr.preprocessor = Preprocessor("logmel")
    seen: list[Tensor] = []
    asr.preprocessor.register_forward_hook(
        lambda _module, _given, kwargs, _out: seen.append(kwargs["length"]), with_kwargs=True
    )
    path = audio_samples / "speech" / "en_us_sentence_44k.wav"
    for audio in (torch.randn(16000).numpy(), str(path)):
        (hypothesis,) = asr.transcribe([audio], verbose=False)
        assert set(hypothesis.text) <= set(LETTERS)
    assert [int(length) for length in seen] == [16000, 24432]


def test_a_saved_model_is_restored_with_its_front_end_put_back(tmp_path: Path) -> None:
    asr = model(feat_in=80).eval()
    front = sc.Pipeline.from_preset("logmel", stft={"learn": "delta"})
    with torch.no_grad():
        for parameter in front.parameters():
            parameter.normal_(std=0.01)
    asr.preprocessor = Preprocessor(front)
    asr.save_to(str(tmp_path / "model.nemo"))
    front.save(tmp_path / "front.safetensors")
    with pytest.raises(RuntimeError, match=r"preprocessor.stft.filter_delta"):
        type(asr).restore_from(str(tmp_path / "model.nemo"))
    twin = type(asr).restore_from(str(tmp_path / "model.nemo"), strict=False).eval()
    twin.preprocessor = Preprocessor(tmp_path / "front.safetensors")
    wav, lengths = torch.randn(1, 16000), torch.tensor([16000])
    ours, theirs = (net(input_signal=wav, input_signal_length=lengths)[0] for net in (asr, twin))
    assert torch.equal(ours, theirs)


# Refusals


def test_what_nemo_itself_refuses() -> None:
    stage = Preprocessor("logmel")
    with pytest.raises(TypeError, match="kwargs"):
        stage(torch.zeros(1, 1600), torch.tensor([1600]))
    with pytest.raises(TypeError, match="shape mismatch"):
        stage(input_signal=torch.zeros(1, 2, 1600), length=torch.tensor([1600]))
    with pytest.raises(UnsafeTargetError, match=r"unsafe target 'speechconv.adapters.nemo.Preprocessor'"):
        model(feat_in=80, stage={"_target_": "speechconv.adapters.nemo.Preprocessor", "source": "logmel"})


def test_nemo_takes_a_row_without_a_frame_and_refuses_a_batch_of_them() -> None:
    asr = model(feat_in=2).eval()
    asr.preprocessor = Preprocessor(encoder())
    log_probs, counts, _ = asr(input_signal=torch.randn(2, 16000), input_signal_length=torch.tensor([16000, 399]))
    assert counts.tolist() == [25, 0]
    assert log_probs.isfinite().all()
    with pytest.raises(RuntimeError, match="Kernel size can't be greater than actual input size"):
        asr(input_signal=torch.randn(1, 399), input_signal_length=torch.tensor([399]))


def test_what_is_no_encoder_is_refused() -> None:
    with pytest.raises(ValueError, match="an encoder must take a waveform, and Log takes frames"):
        Preprocessor(sc.Log())
