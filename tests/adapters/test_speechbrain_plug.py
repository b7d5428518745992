"""Our encoders in SpeechBrain: SpeechBrain is the judge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hyperpyyaml import load_hyperpyyaml
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.dataio.dataio import length_to_mask
from speechbrain.lobes.features import Fbank, StreamingFeatureWrapper
from speechbrain.nnet.containers import LengthsCapableSequential
from speechbrain.nnet.losses import ctc_loss
from speechbrain.utils.callchains import LengthsCapableChain
from speechbrain.utils.checkpoints import Checkpointer
from speechbrain.utils.filter_analysis import FilterProperties, stack_filter_properties
from torch import Tensor, nn

import speechconv as sc
from speechconv.adapters.speechbrain import FrontEnd, absolute_lengths, relative_to
from tests.adapters.encoders import feature_encoder, gradients, mel_pipeline, ragged
from tests.adapters.models import off

ENCODERS = {
    "mel": mel_pipeline,
    "centred mel": lambda: mel_pipeline(center=True),
    "group norm": feature_encoder,
    "layer norm": lambda: feature_encoder("layer"),
}
each_encoder = pytest.mark.parametrize("make", ENCODERS.values(), ids=ENCODERS.keys())


def relative(*lengths: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Rows padded with NaN, and their relative lengths."""
    wav, absolute = ragged(*lengths, dtype=dtype)
    return wav, absolute / wav.shape[1]


# In hyperpyyaml


def test_hyperpyyaml_builds_a_preset_with_other_values() -> None:
    text = """
        features: !new:speechconv.adapters.speechbrain.FrontEnd
            source: logmel
            overrides: {sample_rate: 8000, stft: {learn: delta, n_fft: 200}, mel.n_mels: 12}
    """
    pipe = load_hyperpyyaml(text)["features"].encoder
    expected = sc.Pipeline.from_preset(
        "logmel", sample_rate=8000, stft={"learn": "delta", "n_fft": 200}, mel={"n_mels": 12}
    )
    assert pipe.to_toml() == expected.to_toml()


def test_hyperpyyaml_builds_from_files_and_takes_what_is_built(tmp_path: Path) -> None:
    pipe = mel_pipeline()
    pipe.save(tmp_path / "pipe.safetensors")
    (tmp_path / "pipe.toml").write_text(pipe.to_toml(), "utf-8")
    text = f"""
        folder: {tmp_path}
        saved: !new:speechconv.adapters.speechbrain.FrontEnd [!ref <folder>/pipe.safetensors]
        written: !new:speechconv.adapters.speechbrain.FrontEnd
            source: !ref <folder>/pipe.toml
        encoder: !new:speechconv.FeatureEncoder
            channels: 4
        built: !new:speechconv.adapters.speechbrain.FrontEnd
            source: !ref <encoder>
    """
    hparams = load_hyperpyyaml(text)
    wav, _ = ragged(700)
    assert torch.equal(hparams["saved"](wav), pipe(wav))
    assert hparams["written"].encoder.to_toml() == pipe.to_toml()
    assert hparams["built"].encoder is hparams["encoder"]
    assert hparams["built"].output_dim == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("source: logmell", r"unknown preset 'logmell'.* did you mean 'logmel'"),
        ("{source: logmel, overrides: {mell: {}}}", r"unknown stage or key 'mell' .* did you mean 'mel'"),
        ("source: stft", r"complex frames, which no toolkit takes"),
    ],
)
def test_mistakes_in_hyperpyyaml_are_errors_in_words(arguments: str, message: str) -> None:
    with pytest.raises(Exception, match=message):  # hyperpyyaml raises a copy of the error, of its own type
        load_hyperpyyaml(f"features: !new:speechconv.adapters.speechbrain.FrontEnd\n    {arguments}")


# Lengths


@each_encoder
def test_a_row_in_a_padded_batch_is_the_row_alone(make: Any) -> None:
    front = FrontEnd(make()).double()
    wav, lengths = relative(700, 100, 333, dtype=torch.float64)
    frames = front(wav, lengths)
    counts = front.encoder.num_frames(torch.tensor([700, 100, 333]))
    assert frames.shape == (3, int(counts.max()), 6)
    for row, samples, batched, count in zip(wav, (700, 100, 333), frames, counts, strict=True):
        assert off(batched[:count], front(row[None, :samples])[0]) <= 1e-12
        assert not batched[count:].any()


@each_encoder
def test_relative_lengths_are_exact_for_every_length_in_every_batch(make: Any) -> None:
    """All n <= N up to 2,000 samples past the receptive field: by round, as the losses do it, and as masks."""
    front = FrontEnd(make())
    longest = front.encoder.geometry.receptive_field + 2000
    for samples in range(1, longest + 1):
        lengths = torch.arange(samples + 1)
        frames = front.encoder.num_frames(samples)
        counts = front.encoder.num_frames(lengths)
        shares = front.relative_lengths(lengths / samples, samples)
        assert torch.equal((shares * frames).round().long(), counts), samples
        if samples % 100 == 0 and frames:
            assert torch.equal(length_to_mask(shares * frames, frames).sum(1).long(), counts), samples


def test_lengths_of_the_waveforms_are_not_those_of_the_frames() -> None:
    """Why there is `relative_lengths`."""
    front = FrontEnd(feature_encoder())
    lengths = torch.arange(2041)
    frames, counts = front.encoder.num_frames(2040), front.encoder.num_frames(lengths)
    assert int(((lengths / 2040 * frames).round().long() != counts).sum()) > 900


def test_shares_are_exact_for_all_counts_up_to_3000_and_for_large_ones() -> None:
    """Never above the count: a mask compares without rounding."""
    for total in [*range(1, 3001), 99_991, 2**20 - 1, 2**21, 2**22 - 3]:
        counts = torch.arange(total + 1) if total <= 3000 else torch.randint(0, total + 1, (3000,))
        shares = relative_to(counts, total)
        assert torch.equal((shares * total).round().long(), counts), total
        assert bool((shares * total <= counts).all()), total
        assert bool((shares <= 1).all()), total
    assert relative_to(torch.tensor([0]), 0).tolist() == [0.0]


def test_samples_are_exact_for_all_lengths_up_to_two_to_the_24() -> None:
    for samples in [*range(1, 2500), 160_000, 2**20 + 1, 3 * 2**22 - 1, 2**24]:
        lengths = torch.arange(samples + 1) if samples < 2500 else torch.randint(0, samples + 1, (3000,))
        assert torch.equal(absolute_lengths(lengths / samples, samples), lengths), samples
    lengths = torch.arange(2**26 - 2000, 2**26)
    assert not torch.equal(absolute_lengths(lengths / 2**26, 2**26), lengths)  # float32 cannot tell them


def test_a_padded_batch_of_speechbrain_keeps_its_lengths() -> None:
    front = FrontEnd(mel_pipeline())
    batch: Any = PaddedBatch([{"id": str(n), "sig": torch.randn(n)} for n in (701, 64, 333, 63)])
    wav, lens = batch.sig
    shares = front.relative_lengths(lens, wav.shape[1])
    assert shares.dtype == lens.dtype == torch.float32
    frames = front(wav, lens)
    assert (shares * frames.shape[1]).round().tolist() == [32, 1, 14, 0]
    assert length_to_mask(shares * frames.shape[1]).sum(1).tolist() == [32, 1, 14, 0]


def test_containers_pass_lengths_on() -> None:
    """SpeechBrain looks for an argument of that name, in `forward` or in the call itself, and drops them without."""
    front = FrontEnd(feature_encoder())
    wav, lengths = relative(700, 333)
    for container in (LengthsCapableSequential(front), LengthsCapableChain(front), LengthsCapableChain(front.forward)):
        assert container.takes_lengths == [True]
        assert torch.equal(container(wav, lengths), front(wav, lengths))


def test_lengths_that_are_not_relative_are_refused() -> None:
    front = FrontEnd(mel_pipeline())
    for lengths in (torch.tensor([1.0, 700.0]), torch.tensor([1.0, -0.1]), torch.tensor([1.0, torch.nan])):
        with pytest.raises(ValueError, match=r"lengths \(=\[1.0, .*\]\) must be relative, 0 ... 1 of the longest row"):
            front(torch.zeros(2, 700), lengths)


def test_channels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected a waveform of shape \(batch, samples\), got \(2, 700, 2\)"):
        FrontEnd(mel_pipeline())(torch.zeros(2, 700, 2), torch.ones(2))


# Losses and checkpoints


@each_encoder
def test_gradients_of_speechbrains_ctc_reach_the_filters(make: Any) -> None:
    front = FrontEnd(make())
    wav, lengths = relative(700, 100, 333)
    shares = front.relative_lengths(lengths, 700)
    ctc_loss(front(wav, lengths).log_softmax(-1), torch.tensor([[1], [2], [3]]), shares, torch.ones(3), 0).backward()
    gradients(front)


def test_speechbrains_ctc_counts_a_row_without_a_frame_as_nothing_and_refuses_a_batch_of_them() -> None:
    front = FrontEnd(feature_encoder())
    losses = []
    for rows in ((700, 39), (700,)):
        wav, lengths = relative(*rows)
        shares = front.relative_lengths(lengths, 700)
        torch.manual_seed(0)
        frames = front(wav.nan_to_num(), lengths)
        targets = torch.ones(len(rows), 1)
        losses.append(ctc_loss(frames.log_softmax(-1), targets, shares, torch.ones(len(rows)), 0, reduction="none"))
    assert losses[0][1] == 0
    assert losses[0].isfinite().all()
    with pytest.raises(RuntimeError):
        ctc_loss(front(torch.zeros(1, 39)), torch.ones(1, 1), torch.ones(1), torch.ones(1), 0)


def test_a_checkpoint_of_speechbrain_is_a_state_dict_of_the_pipeline(tmp_path: Path) -> None:
    front, again = FrontEnd(mel_pipeline()), FrontEnd(mel_pipeline())
    with torch.no_grad():
        front.encoder.get_parameter("stft.filter_delta").normal_()
    checkpoint: Any = Checkpointer(tmp_path, {"features": front}).save_checkpoint()
    Checkpointer(tmp_path, {"features": again}).recover_if_possible()
    pipe = mel_pipeline()
    pipe.load_state_dict(torch.load(checkpoint.path / "features.ckpt"))
    wav, _ = ragged(700)
    assert torch.equal(again(wav), front(wav))
    assert torch.equal(pipe(wav), front(wav))


# Filter properties


def with_conv(**conv: Any) -> sc.Pipeline:
    """A centred STFT of odd n_fft, of ceil(N / 20) frames, and a convolution behind it."""
    stft = sc.ConvSTFT(65, hop_length=20, output="power")
    return sc.Pipeline([stft, sc.Log(), sc.Conv1d(33, 4, 5, **conv), nn.ReLU()], sample_rate=8000)


STREAMABLE = {
    "centred mel": lambda: mel_pipeline(center=True),
    "with a convolution": lambda: with_conv(padding="same", stride=2),
    "with a look-ahead": lambda: with_conv(padding=(0, 4)),
    "WaveNet": lambda: sc.Pipeline(
        [sc.WaveNetEncoder(channels=4, residual_channels=3, dilations=(1, 2, 4), hop_length=40)], sample_rate=8000
    ),
}


def streamed(front: FrontEnd, properties: FilterProperties, wav: Tensor, chunk: int) -> Tensor:
    """What SpeechBrain's wrapper makes of `wav` in chunks, chunk / stride frames of each, its delay taken off."""
    wrapper = StreamingFeatureWrapper(front, properties)
    context = wrapper.make_streaming_context()
    silence = [torch.zeros(len(wav), chunk)] * wrapper.get_recommended_final_chunk_count(chunk)
    parts = [wrapper(part, context)[:, : chunk // properties.stride] for part in (*wav.split(chunk, 1), *silence)]
    return torch.cat(parts, 1)[:, wrapper.get_output_count_per_pad_frame() :]


@pytest.mark.parametrize("chunks", [1, 3])
@pytest.mark.parametrize("name", STREAMABLE)
def test_speechbrains_streaming_wrapper_gives_the_frames_of_forward(name: str, chunks: int) -> None:
    """Of windows within the signal: the wrapper feeds silence at its ends, where our layers pad."""
    front = FrontEnd(STREAMABLE[name]()).eval()
    g = front.encoder.geometry
    properties = front.get_filter_properties()
    assert properties.stride == g.stride
    chunk = chunks * g.stride
    wav = torch.randn(2, 24 * chunk)
    with torch.no_grad():
        live, offline = streamed(front, properties, wav, chunk), front(wav)
    inside = [t for t in range(offline.shape[1]) if g.span(t)[0] >= 0 and g.span(t)[1] < wav.shape[1]]
    assert len(inside) > 10
    assert off(live[:, inside], offline[:, inside]) <= 1e-5


@pytest.mark.parametrize(("name", "frames"), [("centred mel", 4), ("with a convolution", 3), ("WaveNet", 3)])
def test_a_chunk_of_three_strides_gives_three_frames_and_of_a_centred_even_stft_the_next_one_too(
    name: str, frames: int
) -> None:
    front = FrontEnd(STREAMABLE[name]()).eval()
    wrapper = StreamingFeatureWrapper(front, front.get_filter_properties())
    context = wrapper.make_streaming_context()
    chunks = torch.randn(1, 30 * front.encoder.geometry.stride).split(3 * front.encoder.geometry.stride, 1)
    with torch.no_grad():
        given = [wrapper(chunk, context) for chunk in chunks]
    assert {part.shape[1] for part in given} == {frames}
    if frames == 4:
        assert all(off(one[:, 3], two[:, 0]) <= 1e-5 for one, two in zip(given[-3:], given[-2:], strict=False))


def test_a_causal_encoder_says_so_and_its_noncausal_equivalent_streams() -> None:
    pipe = sc.Pipeline(
        [sc.WaveNetEncoder(channels=4, residual_channels=3, dilations=(1, 2), hop_length=1)], sample_rate=8000
    )
    front = FrontEnd(pipe).eval()
    properties = front.get_filter_properties()
    assert properties == FilterProperties(pipe.geometry.receptive_field, 1, causal=True)
    with pytest.raises(ValueError, match="Causal streaming feature wrapper is not yet supported"):
        StreamingFeatureWrapper(front, properties)
    wav = torch.randn(1, 64)
    with torch.no_grad():
        live = streamed(front, properties.get_noncausal_equivalent(), wav, 8)
        expected = front(wav)[:, 8:]
    assert off(live[:, 8:64], expected) <= 1e-5


def test_the_window_of_a_log_mel_is_speechbrains_own_but_for_evenness() -> None:
    """SpeechBrain says 400 of a window from 200 samples back to 199 ahead; 401 is the odd one around it."""
    ours, theirs = FrontEnd("logmel").get_filter_properties(), Fbank().get_filter_properties()
    assert (ours.window_size, theirs.window_size) == (401, 400)
    assert ours.stride == theirs.stride == 160
    assert StreamingFeatureWrapper(nn.Identity(), ours).get_required_padding() == 320
    assert StreamingFeatureWrapper(nn.Identity(), theirs).get_required_padding() == 320
    assert stack_filter_properties([FrontEnd("logmel"), FilterProperties(3, 2)]).stride == 320


@pytest.mark.parametrize(
    ("encoder", "error", "message"),
    [
        (
            feature_encoder,
            sc.NotStreamable,
            r"FeatureEncoder's group norm takes its statistics from the whole utterance",
        ),
        (
            lambda: feature_encoder("layer"),
            ValueError,
            r"pads: N samples give N / 20 frames.*\(receptive field 40, stride",
        ),
        (lambda: mel_pipeline(center=True, pad_mode="reflect"), ValueError, r"mirrored ends; stream it by its Session"),
        (
            lambda: sc.Pipeline([sc.ConvSTFT(65, hop_length=20, output="power"), sc.PCEN()], sample_rate=8000),
            ValueError,
            r"memory without end \(pcen.level\); stream it by its Session",
        ),
        (
            lambda: feature_encoder(group_norm="cumulative"),
            ValueError,
            r"memory without end \(.*count, .*mean, .*scatter\)",
        ),
    ],
    ids=["utterance", "no pads", "mirrored", "pcen", "cumulative"],
)
def test_what_filter_properties_cannot_say_is_refused(encoder: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        FrontEnd(encoder()).get_filter_properties()
