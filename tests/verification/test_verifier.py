"""verify as a whole: what it takes, what it answers, what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import speechconv as sc
from tests.verification.banks import dft, gabor, hann, noise, pairs, real_only, silero, silero_twin

YES = "yes: n_fft 256, periodic Hann"


def test_silero_is_verified_from_its_file() -> None:
    answer = sc.verify(silero(), tensor="stft_conv.weight", hop_length=128)
    assert (answer.verdict, answer.layout) == (YES, "stacked")
    assert answer.bank is not None
    assert answer.bank.kappa == pytest.approx(2.618, abs=5e-4)
    assert answer.bank.kappa_two_sided == pytest.approx(2, abs=1e-6)
    assert answer.drift is not None
    assert answer.drift.total < 1e-6  # float32


def _modules() -> dict[str, Callable[[], Any]]:
    kernel = np.concatenate((dft(256, hann(256)).real, dft(256, hann(256)).imag))

    def filled(conv: Any) -> Any:
        conv.weight.data = torch.from_numpy(kernel[:, None])
        return conv

    return {
        "ConvSTFT": lambda: sc.ConvSTFT(256, hop_length=64),
        "pipeline": lambda: sc.Pipeline([sc.ConvSTFT(256, hop_length=64, output="real_imag")], sample_rate=16000),
        "Conv1d": lambda: filled(sc.Conv1d(1, 258, 256, stride=64)),
        "torch's Conv1d": lambda: filled(nn.Conv1d(1, 258, 256, stride=64)),
        "bank": lambda: pairs(dft(256, hann(256)), hop_length=64),
        "tensor": lambda: torch.from_numpy(kernel),
        "tensor with a channel": lambda: torch.from_numpy(kernel)[:, None].float(),
        "complex array": lambda: dft(256, hann(256)),
        "interleaved array": lambda: np.stack((kernel[:129], kernel[129:]), 1).reshape(258, 256),
    }


@pytest.mark.parametrize("name", _modules())
def test_an_stft_is_recognised_in_whatever_holds_it(name: str) -> None:
    answer = sc.verify(_modules()[name](), hop_length=64)
    assert answer.verdict == YES
    assert answer.bank is not None
    assert answer.bank.hop_length == 64
    assert answer.bank.kappa_two_sided == pytest.approx(1, abs=1e-6)
    assert answer.sample_rate == 16000
    assert answer.sample_rate_assumed == (name not in ("pipeline", "bank"))


def test_a_module_tells_its_hop_and_a_pipeline_its_rate() -> None:
    pipe = sc.Pipeline([sc.ConvSTFT(200, hop_length=80)], sample_rate=8000)
    answer = sc.verify(pipe)
    assert answer.bank is not None
    assert (answer.bank.hop_length, answer.sample_rate, answer.tensor) == (80, 8000, "stft.kernel")


@pytest.mark.parametrize("learn", ["delta", "free", "freq", "window"])
def test_a_learned_stft_is_compared_with_its_beginning(learn: Any) -> None:
    stft = sc.ConvSTFT(64, hop_length=16, learn=learn)
    start = stft.kernel.detach().double()
    for parameter in stft.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape)
    now = stft.kernel.detach().double()
    answer = sc.verify(stft)
    assert answer.drift is not None
    assert answer.drift.reference == "the STFT that it started from"
    assert answer.drift.total == pytest.approx(float((now - start).norm() / start.norm()), rel=1e-4)


def test_a_reference_may_be_given_in_words_as_module_or_as_filters() -> None:
    stft = sc.ConvSTFT(64, hop_length=16)
    hamming = sc.ConvSTFT(64, hop_length=16, window="hamming")
    totals = [
        answer.drift.total
        for given in ("stft:n_fft=64,window=hamming", hamming, hamming.double().kernel)
        if (answer := sc.verify(stft, reference=given)).drift
    ]
    assert len(totals) == 3
    assert totals == pytest.approx([totals[0]] * 3, rel=1e-6)
    window = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(64) / 64)
    expected = np.linalg.norm(window - hann(64)) / np.linalg.norm(window)  # every bin has the same window
    assert totals[0] == pytest.approx(expected, rel=1e-5)


def test_a_reference_in_words_turns_as_the_bank_does() -> None:
    """nnAudio, for one, has cos + j sin: the same STFT by the other convention, which is no drift."""
    for filters, words in ((dft(256, hann(256)), ""), (dft(256, hann(256)).conj(), ", conjugated")):
        answer = sc.verify(pairs(filters), reference="stft:n_fft=256")
        assert answer.drift is not None
        assert answer.drift.total < 1e-13  # the angles of the test round at 2 pi k n / n_fft
        assert answer.drift.reference == f"STFT: n_fft 256{words}"


@pytest.mark.parametrize(
    "gain", [1 / 16, 1j, np.exp(2j * np.pi * 0.37 * np.arange(129))[:, None]], ids=["softer", "turned", "later"]
)
def test_an_stft_of_another_size_or_time_origin_is_its_own_reference(gain: Any) -> None:
    answer = sc.verify(pairs(gain * dft(256, hann(256)), hop_length=64), audio=torch.randn(4000))
    assert answer.verdict == YES
    assert answer.drift is not None
    assert answer.drift.total < 1e-12  # float64, angles of up to 2 pi 128
    assert answer.sound is not None
    assert answer.sound.max_db < 1e-6


@pytest.mark.parametrize(("soft", "far"), [(0.35, False), (0.3, True)])
def test_an_stft_whose_gains_are_half_wrong_is_no_reference(soft: float, far: bool) -> None:
    """Every other bin is softer: the nearest STFT is (1 - soft) / (1 + soft) away, 0.481 and 0.538."""
    filters = dft(256, hann(256))
    filters[::2] *= soft
    answer = sc.verify(pairs(filters))
    assert answer.verdict == f"{YES}, a gain of its own in each bin"
    assert (answer.drift is None) == far
    if answer.drift:
        assert answer.drift.total == pytest.approx((1 - soft) / (1 + soft), rel=0.01)  # 65 and 64 bins


def test_the_hop_of_a_reference_counts_where_the_bank_has_none() -> None:
    filters, wav = dft(64, hann(64)) + 0.1 * noise(33, 64), torch.randn(4000)

    def mean(reference: Any, hop_length: int | None = None) -> float:
        answer = sc.verify(pairs(filters), reference=reference, audio=wav, hop_length=hop_length)
        assert answer.sound is not None
        return answer.sound.mean_db

    by_words, by_module = mean("stft:hop_length=7"), mean(sc.ConvSTFT(64, hop_length=7))
    assert by_words == mean("stft", 7) == mean("stft:hop_length=9", 7) != mean("stft")
    assert by_module == pytest.approx(by_words, rel=1e-6)  # the module's kernel is float32


def test_random_filters_have_no_reference_of_their_own() -> None:
    answer = sc.verify(pairs(noise(64, 128) + 1j * noise(64, 128, seed=1)))
    assert answer.drift is None
    assert answer.stft is not None
    assert not answer.stft.is_stft
    assert answer.verdict.startswith("no: ")


def test_sound_is_heard_from_a_file_and_from_memory(audio_samples: Path) -> None:
    path = audio_samples / "speech" / "en_us_digits_16k.wav"
    bank = pairs(2 * dft(256, hann(256)), hop_length=128)
    from_file = sc.verify(bank, audio=path, reference="stft:n_fft=256").sound
    from_memory = sc.verify(bank, audio=torch.randn(4000), reference="stft:n_fft=256").sound
    assert from_file is not None
    assert from_memory is not None
    assert (from_file.audio, from_file.reference) == ("en_us_digits_16k.wav", "STFT: n_fft 256, hop_length 128")
    assert from_file.mean_db == pytest.approx(20 * np.log10(2), abs=1e-6)
    assert from_memory.mean_db == pytest.approx(20 * np.log10(2), abs=1e-6)


def test_an_encoder_is_probed() -> None:
    answer = sc.verify(sc.FeatureEncoder(channels=8))
    assert answer.probe is not None
    assert (answer.probe.receptive_field, answer.probe.stride) == (400, 320)
    assert (answer.stft, answer.bank, answer.filters, answer.drift) == (None, None, [], None)
    assert answer.verdict.startswith("no single bank of filters: each frame sees 400 samples, one every 320")


def test_the_first_convolution_of_a_mel_spaced_bank_names_its_scale() -> None:
    centres = 700 * (10 ** (np.linspace(150, 2800, 40) / 2595) - 1)
    answer = sc.verify(pairs(gabor(centres)))
    assert answer.scales is not None
    assert answer.scales.best == "mel_htk"


def test_every_number_is_json() -> None:
    bank = real_only(noise(3, 8), hop_length=8)
    text = json.dumps(sc.verify(bank).to_json(), allow_nan=False)
    assert json.loads(text)["bank"]["kappa"] is None  # infinite: three rows cannot hold eight samples


def test_the_report_shows_the_bank_beside_the_reference_that_was_found(tmp_path: Path) -> None:
    sc.verify(pairs(dft(256, hann(256))), report=tmp_path / "out.html", name="mine & <yours>")
    page = (tmp_path / "out.html").read_text("utf-8")
    assert "The reference, in dB of its own largest response." in page
    assert "mine &amp; &lt;yours&gt;" in page
    sc.verify(real_only(noise(8, 64)), report=tmp_path / "out.html")
    assert "The reference, in dB" not in (tmp_path / "out.html").read_text("utf-8")


def test_a_layout_may_be_forced_on_a_tensor() -> None:
    rows = noise(6, 32)
    answers = {layout: sc.verify(rows, layout=layout) for layout in ("real", "stacked", "interleaved")}
    assert {layout: len(answer.filters) for layout, answer in answers.items()} == {
        "real": 6,
        "stacked": 3,
        "interleaved": 3,
    }
    with pytest.raises(ValueError, match="weights has 5 filters, an odd number"):
        sc.verify(rows[:5], layout="stacked")
    with pytest.raises(ValueError, match=r"weights is complex, and its pairs are no matter of layout \(='real'\)"):
        sc.verify(noise(5, 32) + 1j, layout="real")
    with pytest.raises(ValueError, match=r"layout \(='rows'\) must be one of"):
        sc.verify(rows, layout="rows")  # pyright: ignore[reportArgumentType] - refused


def test_1024_filters_of_512_at_hop_4_are_inverted_exactly() -> None:
    answer = sc.verify(real_only(noise(1024, 512), hop_length=4))
    assert answer.bank is not None
    assert answer.bank.reconstruction_error is not None
    assert answer.bank.reconstruction_error < 1e-12


@pytest.mark.parametrize(
    ("weights", "error", "words"),
    [
        (np.full((4, 8), np.nan), ValueError, "weights holds NaN or infinite weights, in 4 filters"),
        (np.zeros((4, 8)), ValueError, "weights holds only zeros"),
        (np.ones((4, 8, 3)), ValueError, r"weights must be filters of shape \(filters, taps\)"),
        (np.ones(8), ValueError, r"got \(8,\)"),
        (nn.Linear(3, 3), TypeError, "expected a file, a Pipeline, .* got Linear"),
        (sc.Conv1d(2, 3, 5), TypeError, "a Conv1d of one channel"),
        ("no/such/file.safetensors", FileNotFoundError, "no/such/file.safetensors"),
    ],
    ids=str,
)
def test_what_holds_no_filters_is_refused(weights: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        sc.verify(weights)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"sample_rate": 0}, r"sample_rate \(=0\) must be an integer >= 1"),
        ({"hop_length": 0.5}, r"hop_length \(=0.5\)"),
        ({"tensor": "weight"}, "chooses from a file or a pipeline"),
        ({"audio": torch.zeros(2, 3), "reference": "stft:n_fft=256"}, "audio must be finite floating samples"),
        ({"reference": sc.FeatureEncoder(channels=4)}, "a reference must be one bank of filters, got FeatureEncoder"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        sc.verify(silero_twin(), **arguments)


def test_sound_without_a_reference_is_refused() -> None:
    with pytest.raises(ValueError, match="audio needs a reference, and filters comes near no STFT"):
        sc.verify(real_only(noise(8, 32)), audio=torch.randn(400))
    with pytest.raises(ValueError, match="holds no single bank of filters"):
        sc.verify(sc.FeatureEncoder(channels=4), audio=torch.randn(400))


def test_a_saved_pipeline_far_from_its_start_is_compared_with_it(tmp_path: Path) -> None:
    """So far that no STFT would be guessed from the filters themselves."""
    pipe = sc.Pipeline.from_preset("logmel", **{"stft.learn": "delta", "stft.periodic": False})
    with torch.no_grad():
        next(pipe.parameters()).normal_()
    pipe.save(tmp_path / "far.safetensors")
    stft = pipe[0]
    assert isinstance(stft, sc.ConvSTFT)
    drift = sc.verify(tmp_path / "far.safetensors").drift
    assert drift is not None
    assert drift.reference == "the STFT that it started from"
    assert drift.total == pytest.approx(stft.drift().total, rel=1e-6)  # the file holds float32
    assert drift.total > 0.9


@pytest.mark.parametrize("taps", [2, 3, 8, 32])
def test_a_few_random_filters_that_have_no_window_at_all_are_described(taps: int) -> None:
    for seed in range(20):
        assert not sc.verify(noise(6, taps, seed=seed), layout="stacked").stft.is_stft  # pyright: ignore[reportOptionalMemberAccess] - a bank has an answer


@pytest.mark.parametrize(("learn", "size"), [("delta", 3.0), ("free", 3.0)])
def test_a_kernel_trained_into_noise_is_still_known_as_pairs(learn: Any, size: float, tmp_path: Path) -> None:
    """Nothing in such weights shows how pairs lie in them; the module knows."""
    stft = sc.ConvSTFT(64, hop_length=16, learn=learn)
    with torch.no_grad():
        weight = next(stft.parameters())
        weight.normal_().mul_(size)
    pipe = sc.Pipeline([stft], sample_rate=16000)
    pipe.save(tmp_path / "noise.safetensors")
    expected = stft.drift().total
    for weights in (stft, pipe, tmp_path / "noise.safetensors"):
        answer = sc.verify(weights, thresholds={"drift.total": 0.1})
        assert answer.layout == "stacked"
        assert len(answer.filters) == 33
        assert answer.drift is not None
        assert answer.drift.total == pytest.approx(float(expected), rel=1e-6)  # float32 weights
        assert not answer.passed
