"""Our encoders in models of transformers: transformers is the judge."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

import speechconv as sc
from speechconv.adapters import huggingface
from speechconv.adapters.huggingface_plug import FeatureExtractor, lengths_of, mask_of
from speechconv.layer import Layer
from tests.adapters.encoders import feature_encoder, gradients, mel_pipeline, ragged
from tests.adapters.models import off, perturbed

each_norm = pytest.mark.parametrize("norm", ["group", "layer"])
SMALL: dict[str, Any] = {
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "mask_time_prob": 0.0,
    "vocab_size": 5,
}


def model(encoder: Layer, kind: str = "Wav2Vec2", head: str = "ForCTC", **settings: Any) -> Any:
    """One of transformers', by the config that `config_of` gives."""
    import transformers

    config = getattr(transformers, f"{kind}Config")(**huggingface.config_of(encoder) | SMALL | settings)
    return perturbed(getattr(transformers, f"{kind}{head}")(config))


def twins(norm: str) -> tuple[Any, Any, sc.FeatureEncoder]:
    """transformers' model, the same with our encoder of the same weights, that encoder."""
    encoder = feature_encoder(norm).double()
    theirs = model(encoder, do_stable_layer_norm=norm == "layer").double()
    encoder.load_state_dict(theirs.wav2vec2.feature_extractor.state_dict())
    return theirs, huggingface.plug(copy.deepcopy(theirs), encoder), encoder


def masked(*lengths: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    wav, counts = ragged(*lengths, dtype=dtype)
    return wav, mask_of(counts, wav.shape[1]).long()


@each_norm
def test_a_plugged_model_gives_what_transformers_gives(norm: str) -> None:
    theirs, ours, _ = twins(norm)
    wav, _ = ragged(900, 900, dtype=torch.float64)
    assert off(ours(wav).logits, theirs(wav).logits) <= 1e-12
    extracted = ours.wav2vec2.feature_extractor(wav)
    assert extracted.shape == (2, 6, 44)
    assert off(extracted, theirs.wav2vec2.feature_extractor(wav)) <= 1e-12


def test_a_padded_batch_of_a_layer_norm_model_gives_what_transformers_gives() -> None:
    """Without NaN in the padding, which transformers lets through."""
    theirs, ours, _ = twins("layer")
    wav, mask = masked(700, 333)
    wav = wav.nan_to_num()
    labels = torch.tensor([[1, 2, 3], [4, -100, -100]])
    expected, got = (net(wav, mask, labels=labels) for net in (theirs, ours))
    assert off(got.loss[None], expected.loss[None]) <= 1e-12
    for row, count in ((0, 34), (1, 15)):
        assert off(got.logits[row, :count], expected.logits[row, :count]) <= 1e-12


@each_norm
def test_gradients_are_transformers(norm: str) -> None:
    theirs, ours, encoder = twins(norm)
    wav, _ = ragged(900, 900, dtype=torch.float64)
    for net in (theirs.train(), ours.train()):
        net.config.layerdrop = net.wav2vec2.encoder.config.layerdrop = 0.0
        for part in net.modules():
            if isinstance(part, nn.Dropout):
                part.p = 0.0
        for layer in net.wav2vec2.encoder.layers:
            layer.attention.dropout = 0.0
        net(wav).logits.square().sum().backward()
    expected = dict(theirs.wav2vec2.feature_extractor.named_parameters())
    for name, parameter in encoder.named_parameters():
        assert off(parameter.grad, expected[name].grad) <= 1e-9  # summed in another order
    gradients(ours.wav2vec2.feature_extractor)


@each_norm
@pytest.mark.parametrize("position", ["keyword", "positional"])
def test_a_row_in_a_padded_batch_is_the_row_alone(norm: str, position: str) -> None:
    _, ours, _ = twins(norm)
    wav, mask = masked(700, 40, 333)
    logits = (ours(wav, attention_mask=mask) if position == "keyword" else ours(wav, mask)).logits
    for row, length, batched, count in zip(wav, (700, 40, 333), logits, (34, 1, 15), strict=True):
        assert off(batched[:count], ours(row[None, :length]).logits[0]) <= 1e-12


def test_transformers_own_group_norm_counts_the_padding() -> None:
    """Why the plug is told of the mask."""
    theirs, _, _ = twins("group")
    wav, mask = masked(700, 333)
    logits = theirs(wav.nan_to_num(), mask).logits
    assert off(logits[1, :15], theirs(wav[1:, :333]).logits[0]) > 1e-3


def test_a_mask_is_for_one_call() -> None:
    _, ours, _ = twins("group")
    wav, mask = masked(700, 333)
    wav = wav.nan_to_num()
    before = ours(wav).logits
    ours(wav, mask)
    assert ours.wav2vec2.feature_extractor.lengths is None
    assert torch.equal(ours(wav).logits, before)


@pytest.mark.parametrize("source", ["wav2vec2", "mel", "two strides"])
def test_lengths_are_transformers_for_every_length(source: str) -> None:
    """Its lengths of rows too short for a frame are 0 or below; the plug refuses those."""
    encoder = {
        "wav2vec2": lambda: sc.FeatureEncoder(channels=2),
        "mel": mel_pipeline,
        "two strides": lambda: sc.Pipeline(
            [*mel_pipeline(), sc.Conv1d(6, 6, 3, stride=2, padding="causal")], sample_rate=8000
        ),
    }[source]()
    theirs = model(encoder)
    g = encoder.geometry
    lengths = torch.arange(g.receptive_field + 2001)
    counts = theirs._get_feat_extract_output_lengths(lengths)
    assert torch.equal(counts.clip(min=0), encoder.num_frames(lengths))
    enough = lengths[lengths >= g.emitted_at(0)]
    mask = mask_of(enough, int(enough.max()))
    frames = theirs._get_feature_vector_attention_mask(int(counts.max()), mask.long())
    assert torch.equal(frames.sum(1), encoder.num_frames(enough))
    assert torch.equal(lengths_of(mask), enough)


def test_frames_are_as_many_as_the_counts_for_every_length() -> None:
    encoder = feature_encoder()
    extractor, theirs = FeatureExtractor(encoder), model(encoder).wav2vec2.feature_extractor
    wav = torch.randn(1, 2040)
    for length in range(40, 2041):
        assert extractor(wav[:, :length]).shape == theirs(wav[:, :length]).shape


@pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask:UserWarning")  # WavLM calls torch so
@pytest.mark.parametrize("kind", ["Wav2Vec2", "Hubert", "WavLM", "UniSpeech", "UniSpeechSat", "Data2VecAudio"])
def test_every_model_with_such_an_extractor_is_plugged(kind: str) -> None:
    encoder = feature_encoder("layer" if kind == "Data2VecAudio" else "group")
    net = huggingface.plug(model(encoder, kind), encoder)
    wav, mask = masked(700, 333, dtype=torch.float32)
    net(wav, mask, labels=torch.tensor([[1, 2], [3, -100]])).loss.backward()
    gradients(encoder)


def test_a_model_without_a_head_is_plugged() -> None:
    encoder = feature_encoder()
    net = huggingface.plug(model(encoder, head="Model"), encoder)
    assert net.feature_extractor.encoder is encoder
    assert net(*masked(700, 333, dtype=torch.float32)).last_hidden_state.isfinite().all()


def test_a_pipeline_of_mel_bands_trains_inside() -> None:
    pipe = mel_pipeline()
    net = huggingface.plug(model(pipe), pipe).train()
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-2)
    wav, mask = masked(700, 333, dtype=torch.float32)
    before = copy.deepcopy(pipe.state_dict())
    losses = []
    for _ in range(8):
        loss = net(wav, mask, labels=torch.tensor([[1, 2], [3, -100]])).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    assert not torch.equal(before["stft.filter_delta"], pipe.state_dict()["stft.filter_delta"])


def test_freezing_the_feature_encoder_freezes_ours() -> None:
    encoder = feature_encoder()
    net = huggingface.plug(model(encoder), encoder)
    net.freeze_feature_encoder()
    net(*masked(700, 333, dtype=torch.float32)).logits.sum().backward()
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in encoder.parameters())
    assert net.lm_head.weight.grad is not None


# Saved and loaded


@each_norm
def test_what_a_plugged_model_saves_is_read_by_plain_transformers(norm: str, tmp_path: Path) -> None:
    encoder = feature_encoder(norm)
    net = huggingface.plug(model(encoder), encoder)
    with torch.no_grad():
        encoder.conv_layers[1].get_parameter("conv.weight").mul_(1.5)
    net.save_pretrained(tmp_path)
    loaded: Any = Wav2Vec2ForCTC.from_pretrained(tmp_path, output_loading_info=True)
    plain, info = loaded
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert type(plain.wav2vec2.feature_extractor).__name__ == "Wav2Vec2FeatureEncoder"
    wav, _ = ragged(900)
    assert off(net(wav).logits, plain(wav).logits) <= 1e-5
    assert off(huggingface.load(tmp_path, normalize=None)[0](wav), encoder(wav)) <= 1e-5


def test_a_plugged_pipeline_is_loaded_into_a_plugged_model(tmp_path: Path) -> None:
    pipe = mel_pipeline()
    net = huggingface.plug(model(pipe), pipe)
    with torch.no_grad():
        pipe.get_parameter("stft.filter_delta").normal_()
    net.save_pretrained(tmp_path)
    again = huggingface.plug(Wav2Vec2ForCTC(Wav2Vec2Config.from_pretrained(tmp_path)), mel_pipeline()).eval()
    again.load_state_dict(load_file(tmp_path / "model.safetensors"))
    wav, mask = masked(700, 333, dtype=torch.float32)
    assert torch.equal(again(wav, mask).logits, net(wav, mask).logits)


def test_a_copy_keeps_its_plug() -> None:
    _, ours, encoder = twins("group")
    twin = copy.deepcopy(ours)
    wav, mask = masked(700, 333)
    expected = ours(wav, mask).logits
    with torch.no_grad():
        encoder.conv_layers[0].get_parameter("conv.weight").zero_()
    assert torch.equal(twin(wav, mask).logits, expected)


def test_plugging_twice_leaves_the_second_encoder_and_one_hook() -> None:
    first, second = feature_encoder(), feature_encoder()
    net = huggingface.plug(huggingface.plug(model(first), first), second)
    assert net.wav2vec2.feature_extractor.encoder is second
    assert len(net.wav2vec2._forward_pre_hooks) == 1


# Refused


def test_a_config_of_another_encoder_is_refused_with_all_that_differs() -> None:
    encoder = feature_encoder("layer")
    net = model(feature_encoder(kernel_sizes=(10, 3), strides=(5, 2), channels=4))
    with pytest.raises(
        ValueError, match="the model's config does not describe the encoder; build it by config_of:"
    ) as error:
        huggingface.plug(net, encoder)
    assert str(error.value).splitlines()[1:] == [
        "  conv_kernel = [10, 3], the encoder's is [10, 3, 3]",
        "  conv_stride = [5, 2], the encoder's is [5, 2, 2]",
        "  conv_dim = [4, 4], the encoder's is [6, 6, 6]",
        "  feat_extract_norm = 'group', the encoder's is 'layer'",
        "  conv_bias = False, the encoder's is True",
    ]
    assert not isinstance(net.wav2vec2.feature_extractor, FeatureExtractor)


def test_a_hop_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match=r"conv_stride = \[20\], the encoder's is \[16\]"):
        huggingface.plug(model(mel_pipeline()), mel_pipeline(hop_length=16))


@pytest.mark.parametrize(
    "encoder",
    [
        lambda: mel_pipeline(center=True),
        lambda: sc.Pipeline([sc.MinimumLength(900), *mel_pipeline()], sample_rate=8000),
    ],
    ids=["centred", "minimum length"],
)
def test_frames_that_no_convolution_counts_are_refused(encoder: Any) -> None:
    with pytest.raises(ValueError, match=r"counts frames as convolutions without pads do, .* Set center=False"):
        huggingface.config_of(encoder())


def test_other_modules_are_refused() -> None:
    with pytest.raises(
        TypeError, match=r"a model of transformers with a feature_extractor, such as Wav2Vec2ForCTC; got Lin"
    ):
        huggingface.plug(nn.Linear(1, 1), feature_encoder())
    with pytest.raises(
        TypeError, match=r"expected a Pipeline, or a layer of speechconv that takes a waveform.*got Linear"
    ):
        huggingface.plug(model(feature_encoder()), nn.Linear(1, 1))  # pyright: ignore[reportArgumentType] - the mistake


def test_a_row_without_a_frame_is_refused() -> None:
    _, ours, _ = twins("layer")
    with pytest.raises(
        ValueError, match=r"rows of \[700, 39\] samples; one frame takes 40: leave the shorter ones out"
    ):
        ours(*masked(700, 39))
    with pytest.raises(ValueError, match=r"rows of \[39\] samples; one frame takes 40"):
        ours(torch.zeros(1, 39, dtype=torch.float64))


def test_transformers_attends_to_all_padding_of_a_row_without_a_frame() -> None:
    """Why the plug refuses it."""
    theirs, _, _ = twins("layer")
    _, mask = masked(700, 39)
    assert theirs._get_feature_vector_attention_mask(34, mask).sum(1).tolist() == [34, 34]


@pytest.mark.parametrize("mask", [[0, 1, 1], [1, 0, 1]])
def test_padding_before_or_between_the_samples_is_refused(mask: list[int]) -> None:
    _, ours, _ = twins("layer")
    wide = torch.tensor([mask]).repeat_interleave(100, 1)
    with pytest.raises(ValueError, match=r"1 up to each row's length and 0 behind it: pad on the right"):
        ours(torch.zeros(1, 300, dtype=torch.float64), wide)


def test_a_mask_longer_than_the_waveform_is_refused() -> None:
    _, ours, _ = twins("layer")
    with pytest.raises(ValueError, match=r"lengths \(=\[301\]\) must lie in 0 ... 300"):
        ours(torch.zeros(1, 300, dtype=torch.float64), torch.ones(1, 301, dtype=torch.int64))
