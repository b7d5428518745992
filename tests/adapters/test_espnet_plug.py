"""Our pipelines as ESPnet's front-end: ESPnet's own model and its own front-end are the judge."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import speechconv as sc

# In a venv of its own, which pyright does not see.
# pyright: reportMissingImports=false
if not find_spec("espnet2"):
    pytest.skip("ESPnet is not installed: make test-toolkits", allow_module_level=True)

from espnet.nets.pytorch_backend.nets_utils import make_pad_mask
from espnet.nets.pytorch_backend.transformer.subsampling import TooShortUttError
from espnet2.asr.ctc import CTC
from espnet2.asr.encoder.conformer_encoder import ConformerEncoder
from espnet2.asr.espnet_model import ESPnetASRModel
from espnet2.asr.frontend.abs_frontend import AbsFrontend
from espnet2.asr.frontend.default import DefaultFrontend
from espnet2.asr.specaug.specaug import SpecAug
from espnet2.layers.utterance_mvn import UtteranceMVN
from espnet2.train.class_choices import ClassChoices

from speechconv.adapters.espnet import Frontend

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.cuda.amp.autocast:FutureWarning")  # of ESPnetASRModel

TOKENS = ["<blank>", "<unk>", *"abc", "<sos/eos>"]


def encoder(channels: int = 8) -> sc.FeatureEncoder:
    """R 400, S 320."""
    return sc.FeatureEncoder(channels=channels, norm="layer", bias=True)


def model(front: Any, **parts: Any) -> Any:
    """A small Conformer with CTC."""
    attention = {"pos_enc_layer_type": "rel_pos", "selfattention_layer_type": "rel_selfattn", "rel_pos_type": "latest"}
    conformer = ConformerEncoder(
        front.output_size(),
        output_size=16,
        attention_heads=2,
        linear_units=16,
        num_blocks=1,
        cnn_module_kernel=3,
        **attention,
    )
    others = dict.fromkeys(("specaug", "normalize", "preencoder", "postencoder", "decoder", "joint_network"))
    return ESPnetASRModel(
        vocab_size=len(TOKENS),
        token_list=TOKENS,
        frontend=front,
        encoder=conformer,
        ctc=CTC(len(TOKENS), 16),
        ctc_weight=1.0,
        report_cer=False,
        report_wer=False,
        **others | parts,
    )


def loss_of(asr: Any, wav: Tensor, lengths: Tensor) -> Tensor:
    text = torch.randint(2, 5, (len(wav), 3))
    return asr(wav, lengths, text, torch.full((len(wav),), 3))[0]


# Frames and lengths


def test_lengths_are_exact_for_every_length() -> None:
    lengths = torch.arange(2401)
    frames, counts = Frontend(encoder(2))(torch.randn(2401, 2400), lengths)
    assert frames.shape == (2401, 7, 2)
    assert counts.dtype == torch.int64
    assert counts.tolist() == [len(range(0, n - 399, 320)) for n in range(2401)]


def test_a_row_of_a_padded_batch_is_the_row_alone_and_its_padding_may_hold_anything() -> None:
    front = Frontend(encoder())
    lengths = torch.tensor([4000, 0, 399, 2601])
    wav = torch.randn(4, 4000)
    wav[torch.arange(4000) >= lengths[:, None]] = torch.nan
    frames, counts = front(wav, lengths)
    for row, length, features, count in zip(wav, lengths, frames, counts, strict=True):
        alone, own = front(row[None, :length], length[None])
        assert own == count
        assert torch.allclose(features[:count], alone[0], atol=1e-6)
        assert not features[count:].any()


def test_log_mel_equals_espnets_own_front_end_for_every_length() -> None:
    """Reflected, so from the first sample that its STFT takes on; and the numbers of the longest."""
    theirs = DefaultFrontend(frontend_conf=None)
    stft = {"n_fft": 512, "hop_length": 128, "pad_mode": "reflect"}
    ours = Frontend("logmel", {"stft": stft})
    lengths = torch.arange(257, 2513)
    wav = torch.zeros(len(lengths), 2512)
    assert torch.equal(ours(wav, lengths)[1], theirs(wav, lengths)[1])
    wav, lengths = 0.1 * torch.randn(1, 16000), torch.tensor([16000])
    assert torch.allclose(ours(wav, lengths)[0], theirs(wav, lengths)[0], atol=1e-3)  # float32, behind a logarithm
    assert ours.output_size() == theirs.output_size()


def test_without_training_the_first_of_several_channels_is_taken_as_by_espnets_own() -> None:
    wav, lengths = torch.randn(2, 4000, 3), torch.tensor([4000, 3000])
    for front in (Frontend("logmel").eval(), DefaultFrontend(frontend_conf=None).eval()):
        several, first = front(wav, lengths), front(wav[..., 0], lengths)
        assert torch.equal(several[0], first[0])
        assert torch.equal(several[1], first[1])


def test_in_training_a_channel_is_drawn_for_the_whole_batch_as_by_espnets_own() -> None:
    wav, lengths = torch.randn(2, 4000, 3), torch.tensor([4000, 3000])
    np.random.seed(0)
    for front in (Frontend("logmel").train(), DefaultFrontend(frontend_conf=None).train()):
        singles = [front(wav[..., channel], lengths)[0] for channel in range(3)]
        drawn = [front(wav, lengths)[0] for _ in range(20)]
        matches = [[torch.equal(one, single) for single in singles].index(True) for one in drawn]
        assert set(matches) == {0, 1, 2}


# In a model


def test_gradients_reach_every_filter() -> None:
    front = encoder()
    loss_of(model(Frontend(front)), torch.randn(2, 16000), torch.tensor([16000, 12000])).backward()
    for name, parameter in front.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.flatten(1).any(1).all() if parameter.ndim > 1 else parameter.grad.any(), name


def test_the_model_collects_the_pipelines_frames_of_the_rows_alone() -> None:
    front = encoder()
    wav, lengths = torch.randn(2, 16000), torch.tensor([12000, 9000])
    asr = model(Frontend(front))
    collected = asr.collect_feats(wav, lengths, torch.ones(2, 1), torch.ones(2))
    assert collected["feats_lengths"].tolist() == [37, 27]
    for row, length, features in zip(wav, lengths, collected["feats"], strict=True):
        alone = front(row[None, :length])[0]
        assert torch.allclose(features[: len(alone)], alone, atol=1e-6)


def test_espnets_augmentation_and_normalisation_take_the_frames() -> None:
    pipe = sc.Pipeline.from_preset("logmel", stft={"learn": "delta"}, mel={"n_mels": 40})
    asr = model(Frontend(pipe), specaug=SpecAug(time_mask_width_range=10), normalize=UtteranceMVN())
    loss = loss_of(asr, torch.randn(2, 16000), torch.tensor([16000, 12000]))
    loss.backward()
    (filters,) = pipe.parameters()
    assert filters.grad is not None
    assert filters.grad.isfinite().all()
    assert filters.grad.any()


def test_a_recipe_names_it_among_the_choices_of_its_task() -> None:
    """With an object as espnet2.tasks.asr.frontend_choices, whose module needs all that ESPnet needs."""
    choices = ClassChoices("frontend", {"default": DefaultFrontend}, type_check=AbsFrontend, default="default")
    choices.classes["speechconv"] = Frontend
    built = choices.get_class("speechconv")(**{"source": "logmel", "overrides": {"mel": {"n_mels": 40}}})
    assert built.output_size() == 40


def test_what_a_model_saves_of_it_fits_the_encoder_alone() -> None:
    front, twin = encoder(), encoder()
    state = model(Frontend(front)).state_dict()
    twin.load_state_dict({key.removeprefix("frontend."): state[key] for key in state if key.startswith("frontend.")})
    wav = torch.randn(1, 4000)
    assert torch.equal(twin(wav), front(wav))


# Refusals


def test_what_espnet_itself_refuses_or_takes_amiss() -> None:
    """Fewer than 7 frames, which its subsampling needs; a batch without a frame; and no frames beside some."""
    asr = model(Frontend(encoder())).eval()
    asr.encode(torch.randn(1, 400 + 6 * 320), torch.tensor([400 + 6 * 320]))
    with pytest.raises(TooShortUttError, match="has 6 frames and is too short"):
        asr.encode(torch.randn(1, 400 + 6 * 320 - 1), torch.tensor([400 + 6 * 320 - 1]))
    with pytest.raises(IndexError):
        asr.encode(torch.randn(1, 399), torch.tensor([399]))
    assert make_pad_mask(torch.tensor([0, 3])).tolist() == [[False] * 3] * 2


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ((sc.Log(),), ValueError, r"an encoder must take a waveform, and Log takes frames"),
        ((sc.FeatureEncoder(channels=2), {"channels": 3}), ValueError, r"built already; drop the overrides channels"),
        ((torch.nn.Conv1d(1, 1, 1),), TypeError, r"expected a Pipeline, or a layer of speechconv .*; got Conv1d"),
        (("logmle",), ValueError, r"unknown preset 'logmle' in speechconv; did you mean 'logmel'\?"),
    ],
)
def test_what_is_no_encoder_is_refused(source: tuple[Any, ...], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Frontend(*source)
