"""Our encoders in torchaudio's models: torchaudio is the judge."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchaudio.models import Conformer, HuBERTPretrainModel, wav2vec2_model
from torchaudio.models.wav2vec2.components import _get_feature_extractor

import speechconv as sc
from speechconv.adapters import torchaudio
from tests.adapters.encoders import KERNELS, STRIDES, feature_encoder, gradients, mel_pipeline, ragged
from tests.adapters.models import off, perturbed

each_norm = pytest.mark.parametrize("norm", ["group", "layer"])


def model(norm: str = "group", channels: int = 6) -> Any:
    """With the geometry of `feature_encoder`; 16 taps of positional convolution."""
    convs = [(channels, kernel, stride) for kernel, stride in zip(KERNELS, STRIDES, strict=True)]
    rest = (16, 0.0, 8, 2, 1, 2, 0.0, 24, 0.0, 0.0, norm == "layer", 0.0, 5)
    return perturbed(wav2vec2_model(f"{norm}_norm", convs, norm == "layer", *rest))


def twins(norm: str) -> tuple[Any, Any, sc.FeatureEncoder]:
    """torchaudio's model, the same with our encoder of the same weights, that encoder."""
    theirs, encoder = model(norm).double(), feature_encoder(norm).double()
    encoder.load_state_dict(theirs.feature_extractor.state_dict())
    return theirs, torchaudio.plug(copy.deepcopy(theirs), encoder), encoder


@each_norm
def test_a_plugged_model_gives_what_torchaudios_gives(norm: str) -> None:
    """Rows without padding: in a padded batch torchaudio's group norm counts the padding."""
    theirs, ours, _ = twins(norm)
    wav, _ = ragged(900, 900, dtype=torch.float64)
    expected, none = theirs(wav)
    logits, counts = ours(wav)
    assert off(logits, expected) <= 1e-12
    assert counts is none is None
    features, lengths = ours.extract_features(wav, torch.tensor([900, 900]))
    assert off(features[-1], theirs.extract_features(wav, torch.tensor([900, 900]))[0][-1]) <= 1e-12
    assert lengths.tolist() == [44, 44]


@each_norm
def test_gradients_are_torchaudios(norm: str) -> None:
    theirs, ours, encoder = twins(norm)
    wav, _ = ragged(900, 900, dtype=torch.float64)
    for net in (theirs, ours):
        net(wav)[0].square().sum().backward()
    expected = dict(theirs.feature_extractor.named_parameters())
    for name, parameter in encoder.named_parameters():
        assert off(parameter.grad, expected[name].grad) <= 1e-9  # summed in another order
    gradients(ours.feature_extractor)


@each_norm
def test_a_row_in_a_padded_batch_is_the_row_alone(norm: str) -> None:
    _, ours, encoder = twins(norm)
    wav, lengths = ragged(700, 40, 333, dtype=torch.float64)
    logits, counts = ours(wav, lengths)
    assert counts.tolist() == [encoder.geometry.num_frames(n) for n in (700, 40, 333)]
    for row, length, batched, count in zip(wav, lengths, logits, counts, strict=True):
        alone, _ = ours(row[None, :length], length[None])
        assert off(batched[:count], alone[0]) <= 1e-12


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
def test_lengths_are_torchaudios_for_every_length(dtype: torch.dtype) -> None:
    encoder = sc.FeatureEncoder(channels=2)
    theirs: Any = _get_feature_extractor(
        "layer_norm", list(zip([2] * 7, encoder.kernel_sizes, encoder.strides, strict=True)), True
    )
    lengths = torch.arange(2401, dtype=dtype)
    expected = lengths
    for layer in theirs.conv_layers:  # their lengths alone: the frames of 2401 rows would take long
        _, expected = layer(torch.zeros(1, layer.conv.in_channels, 32), expected)
    y, counts = torchaudio.FeatureExtractor(encoder)(torch.zeros(2401, 2400), lengths)
    assert torch.equal(counts, expected.long())
    assert y.shape == (2401, int(counts.max()), 2)


def test_frames_are_as_many_as_the_counts_for_every_length() -> None:
    extractor = torchaudio.FeatureExtractor(feature_encoder())
    theirs = model().feature_extractor
    wav = torch.randn(1, 2040)
    for length in range(2041):
        y, counts = extractor(wav[:, :length], torch.tensor([length]))
        assert counts.tolist() == [y.shape[1]]
        if length >= 40:  # torchaudio's raises below one frame
            assert theirs(wav[:, :length], None)[0].shape == y.shape


def test_any_pipeline_fits_whose_frames_are_as_wide() -> None:
    """Its state dict stands where torchaudio's stood."""
    pipe, net = mel_pipeline(), model()
    assert torchaudio.plug(net, pipe) is net
    logits, counts = net(*ragged(700, 100))
    assert logits.shape == (2, 32, 5)
    assert counts.tolist() == [32, 2]
    logits[0].sum().backward()
    gradients(pipe)
    keys = {key for key in net.state_dict() if key.startswith("feature_extractor")}
    assert keys == {f"feature_extractor.{key}" for key in pipe.state_dict()}


def test_what_wraps_a_wav2vec2_model_is_plugged_inside() -> None:
    wrapped: Any = HuBERTPretrainModel(model(), nn.Identity(), nn.Identity(), None)
    encoder = feature_encoder()
    torchaudio.plug(wrapped, encoder)
    assert wrapped.wav2vec2.feature_extractor.encoder is encoder


@each_norm
def test_a_saved_plugged_model_is_read_by_plain_torchaudio(norm: str) -> None:
    """And the other way round; nothing missing, nothing extra."""
    theirs, ours, encoder = twins(norm)
    with torch.no_grad():
        encoder.conv_layers[1].get_parameter("conv.weight").mul_(1.5)
    theirs.load_state_dict(ours.state_dict())
    wav, _ = ragged(900, dtype=torch.float64)
    assert off(ours(wav)[0], theirs(wav)[0]) <= 1e-12
    fresh = torchaudio.plug(model(norm).double(), feature_encoder(norm).double())
    fresh.load_state_dict(theirs.state_dict())
    assert torch.equal(fresh(wav)[0], ours(wav)[0])


def test_another_width_and_other_models_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"projects frames of 8 channels, the encoder gives 6; make one of them as wid"
    ):
        torchaudio.plug(model(channels=8), feature_encoder())
    with pytest.raises(TypeError, match=r"expected a torchaudio.models.Wav2Vec2Model, got Linear"):
        torchaudio.plug(nn.Linear(1, 1), feature_encoder())
    with pytest.raises(ValueError, match=r"an encoder must take a waveform, and Log takes frames"):
        torchaudio.plug(model(), sc.Log())


def test_torchaudio_refuses_a_batch_without_a_frame() -> None:
    net = torchaudio.plug(model(), feature_encoder())
    assert net.feature_extractor(torch.zeros(1, 39), torch.tensor([39]))[0].shape == (1, 0, 6)
    with pytest.raises(RuntimeError):
        net(torch.zeros(1, 39), torch.tensor([39]))


# Before a Conformer


class Front(nn.Module):
    """A front-end, one of our Conformer modules, torchaudio's Conformer."""

    def __init__(self) -> None:
        super().__init__()
        module = sc.Residual(sc.ConformerConvModule(6, kernel_size=5, norm="layer"))
        self.pipe = sc.Pipeline([*mel_pipeline(), module], sample_rate=8000)
        self.conformer = perturbed(Conformer(6, 2, 12, num_layers=1, depthwise_conv_kernel_size=3)).train()


def test_frames_and_counts_go_into_a_conformer_as_they_are() -> None:
    front = Front()
    wav, lengths = ragged(700, 333, 64)
    frames, counts = front.conformer(*front.pipe(wav, lengths))
    assert frames.shape == (3, 32, 6)
    assert counts.tolist() == [32, 14, 1]
    loss = F.ctc_loss(
        frames.log_softmax(-1).transpose(0, 1), torch.ones(3, 1, dtype=torch.int64), counts, torch.ones_like(counts)
    )
    loss.backward()
    gradients(front.pipe)


def test_the_rows_that_a_conformer_gets_are_the_rows_alone() -> None:
    pipe = Front().pipe.double()
    wav, lengths = ragged(700, 333, 64, dtype=torch.float64)
    frames, counts = pipe(wav, lengths)
    for row, length, batched, count in zip(wav, lengths, frames, counts, strict=True):
        assert off(batched[:count], pipe(row[None, :length])[0]) <= 1e-12


def test_behind_our_frames_the_conformer_itself_lets_padding_in() -> None:
    """As the docstring says: its convolution does not mask, so that the frames next to a row's end differ."""
    front = Front().double().eval()
    wav, lengths = ragged(700, 333, dtype=torch.float64)
    frames, _ = front.conformer(*front.pipe(wav, lengths))
    alone, _ = front.conformer(*front.pipe(wav[1:, :333], lengths[1:]))
    assert off(frames[1, :14], alone[0]) > 1e-6


def test_a_conformer_refuses_a_batch_padded_beyond_its_longest_row() -> None:
    front = Front().eval()
    frames, counts = front.pipe(torch.randn(2, 700), torch.tensor([600, 333]))
    with pytest.raises((RuntimeError, AssertionError)):
        front.conformer(frames, counts)
    assert front.conformer(frames[:, : counts.max()], counts)[0].isfinite().all()


def test_a_conformer_takes_a_row_without_a_frame_but_no_batch_of_them() -> None:
    front = Front()
    frames, counts = front.conformer(*front.pipe(*ragged(700, 63)))
    assert counts.tolist() == [32, 0]
    frames[0].sum().backward()
    gradients(front.pipe)
    with pytest.raises(RuntimeError):
        front.conformer(*front.pipe(*ragged(63, 20)))
