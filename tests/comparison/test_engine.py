"""sc.compare: its figures against plain numpy, its verdict against pipelines that are wrong on purpose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

import speechconv as sc
from speechconv.combine import Sequential, named_parts
from speechconv.comparison import engine, librosa
from speechconv.extraction import extract

LIBROSA_PRESETS = ("stft", "librosa-mel", "librosa-mfcc", "logmel", "whisper")


def speech(audio_samples: Path) -> tuple[NDArray[np.float64], int]:
    wav, rate = soundfile.read(audio_samples / "speech" / "en_us_digits_16k.wav")
    return np.asarray(wav, np.float64), rate


def noise(samples: int = 8000) -> NDArray[np.float64]:
    return np.random.default_rng(0).uniform(-0.9, 0.9, samples)


@pytest.fixture
def wrongly_built(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`wrongly_built(attribute=value)`: our side is told one setting, librosa's another."""

    def build(**settings: object) -> sc.Pipeline:
        pipe = sc.Pipeline.from_preset("logmel", **{f"stft.{key}": value for key, value in settings.items()})
        told = sc.Pipeline.from_preset("logmel")
        rebuild = librosa.rebuild
        monkeypatch.setattr(librosa, "rebuild", lambda _, wav: rebuild(told, wav))
        return pipe

    return build


@pytest.mark.parametrize("preset", LIBROSA_PRESETS)
def test_our_presets_pass_on_speech_in_both_types(preset: str, audio_samples: Path) -> None:
    wav, rate = speech(audio_samples)
    # float32: 2e-7 is a transform's rounding, a few times that behind logarithm and DCT; float64: 1e-12 as in the law
    assert sc.compare(wav, rate, pipeline=preset).passed
    assert sc.compare(wav, rate, pipeline=preset, dtype=torch.float64, tolerance=1e-12).passed


@pytest.mark.parametrize("preset", LIBROSA_PRESETS)
def test_our_presets_pass_on_real_speech(preset: str, real_speech: Path) -> None:
    for name in ("0_jackson_0", "5_theo_3", "9_nicolas_7"):
        assert sc.compare(*soundfile.read(real_speech / f"{name}.wav"), pipeline=preset).passed


@pytest.mark.parametrize(
    ("settings", "least"), [({"pad_mode": "reflect"}, 1e-3), ({"window": "hamming"}, 1e-2), ({"periodic": False}, 1e-3)]
)
def test_a_pipeline_built_wrongly_fails(
    settings: dict[str, object], least: float, wrongly_built: Any, audio_samples: Path
) -> None:
    wav, rate = speech(audio_samples)
    result = sc.compare(np.concatenate((wav[3000:], wav[:3000])), rate, pipeline=wrongly_built(**settings))
    assert not result.passed
    assert result.max_abs > least


def test_a_wrong_logarithm_fails_though_the_power_below_it_is_right(
    monkeypatch: pytest.MonkeyPatch, audio_samples: Path
) -> None:
    """A floor of 1e-5 instead of 1e-10 is a millionth of the peak power, and 10 dB at 70 dB below it."""
    told, rebuild = sc.Pipeline.from_preset("logmel"), librosa.rebuild
    monkeypatch.setattr(librosa, "rebuild", lambda _, wav: rebuild(told, wav))
    wav, rate = soundfile.read(audio_samples / "speech" / "en_us_digits_16k.wav")
    for settings in ({"floor": 1e-5}, {"floor": 1e-6, "additive": True}):
        pipe = sc.Pipeline.from_preset("logmel", log=settings)
        result = sc.compare(wav, rate, pipeline=pipe)
        assert not result.passed
        assert result.max_abs <= result.tolerance
        assert result.max_db is not None
        assert result.max_db > 3
        assert sc.compare(wav, rate, pipeline=pipe, tolerance_db=result.max_db).passed
    with pytest.raises(ValueError, match=r"tolerance_db \(=-1\) must be >= 0"):
        sc.compare(wav, rate, tolerance_db=-1)


def test_a_wrong_edge_is_found_at_the_edge(wrongly_built: Any) -> None:
    result = sc.compare(noise(), 16000, pipeline=wrongly_built(pad_mode="reflect"))
    assert result.worst_frame in (0, 1, result.frames - 2, result.frames - 1)  # frames that reach into the pads


def test_another_number_of_frames_is_said(wrongly_built: Any) -> None:
    with pytest.raises(ValueError, match="speechconv gives 48 frames of 80 channels, librosa 51 of 80"):
        sc.compare(noise(), 16000, pipeline=wrongly_built(center=False))


def test_figures_of_a_log_pipeline_are_plain_numpys(wrongly_built: Any, audio_samples: Path) -> None:
    wav, rate = speech(audio_samples)
    result = sc.compare(wav, rate, pipeline=wrongly_built(window="hamming"), dtype=torch.float64)
    ours, theirs = result.features, result.reference
    apart = np.abs(np.exp(ours) - np.exp(theirs))
    frame, band = np.argwhere(apart == apart.max())[0]
    level, reference = 10 / np.log(10) * ours, 10 / np.log(10) * theirs  # ln of a power, in dB
    loud = reference > reference.max() - 70
    assert (result.worst_frame, result.worst_bin) == (frame, band)
    assert result.worst_seconds == pytest.approx(frame * 160 / 16000)
    assert result.max_abs == pytest.approx(apart.max() / np.exp(theirs).max(), rel=1e-12)
    assert result.relative_l2 == pytest.approx(np.sqrt((apart**2).sum() / (np.exp(theirs) ** 2).sum()), rel=1e-12)
    assert result.max_db == pytest.approx(np.abs(level - reference)[loud].max(), rel=1e-9)
    assert result.rms_db == pytest.approx(np.sqrt(((level - reference)[loud] ** 2).mean()), rel=1e-9)
    assert result.max_difference == pytest.approx(np.abs(ours - theirs).max(), rel=1e-12)


class Bump(sc.Layer):
    """Adds `height` to one cell: frame 7, channel 3."""

    def __init__(self, height: float) -> None:
        super().__init__()
        self.height = height

    def valid(self, x: torch.Tensor) -> torch.Tensor:
        y = x.clone()
        y[:, 7, 3] += self.height
        return y


QUARTER_PLUS_1 = {
    "at once": [sc.Affine(scale=0.25, offset=1.0)],
    "offset, then scale": [sc.Affine(offset=4.0), sc.Affine(scale=0.25)],
    "half, and half again": [sc.Affine(scale=0.5, offset=2.0), sc.Affine(scale=0.5)],
}


@pytest.mark.parametrize("way", QUARTER_PLUS_1)
def test_a_scaled_logarithm_is_compared_as_the_power_below_it(way: str, audio_samples: Path) -> None:
    wav, rate = speech(audio_samples)
    log = sc.Pipeline([sc.ConvSTFT(output="power"), sc.Log(base="10")], sample_rate=16000)
    scaled = sc.Pipeline([*log, *QUARTER_PLUS_1[way]], sample_rate=16000)
    plain, whisper = (sc.compare(wav, rate, pipeline=pipe) for pipe in (log, scaled))
    assert plain.scale_name == whisper.scale_name == "log power"
    assert whisper.peak == pytest.approx(plain.peak, rel=1e-9)
    assert whisper.peak == pytest.approx((10 ** (4 * (whisper.reference - 1))).max(), rel=1e-9)


@pytest.mark.parametrize("scale", [-0.25, 0.0])
def test_a_logarithm_upside_down_or_flat_is_compared_as_it_is(scale: float) -> None:
    pipe = sc.Pipeline([sc.ConvSTFT(output="power"), sc.Log(), sc.Affine(scale=scale, offset=1.0)], sample_rate=16000)
    result = sc.compare(noise(), 16000, pipeline=pipe)
    assert (result.scale_name, result.max_db, result.passed) == ("value", None, True)
    assert result.peak == np.abs(result.reference).max()


def test_a_planted_fault_is_found_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(librosa.EQUALS, Bump, lambda _, features: features)
    stft = sc.ConvSTFT(400, hop_length=100, center=False, output="magnitude")
    pipe = sc.Pipeline([stft, Bump(0.5)], sample_rate=8000)
    result = sc.compare(noise(), 8000, pipeline=pipe, dtype=torch.float64)
    assert (result.worst_frame, result.worst_bin) == (7, 3)
    assert result.worst_hz == pytest.approx(3 * 8000 / 400)
    assert result.worst_seconds == pytest.approx((7 * 100 + 200) / 8000)
    peak = np.abs(result.reference).max()
    assert result.max_abs == pytest.approx(0.5 / peak, rel=1e-9)
    before = result.reference[7, 3]
    assert result.max_db == pytest.approx(20 * np.log10((before + 0.5) / before), rel=1e-9)


@pytest.mark.parametrize("tolerance", [0.02, 0.005])
def test_the_tolerance_is_a_share_of_the_peak(tolerance: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(librosa.EQUALS, Bump, lambda _, features: features)
    stft = sc.ConvSTFT(400, hop_length=100, output="power")
    peak = float(stft(torch.from_numpy(noise()).float()[None]).max())
    pipe = sc.Pipeline([stft, Bump(0.01 * peak)], sample_rate=8000)
    assert sc.compare(noise(), 8000, pipeline=pipe, tolerance=tolerance).passed == (tolerance > 0.01)


STAGES: dict[str, list[torch.nn.Module]] = {
    "reflect, odd": [sc.ConvSTFT(401, hop_length=77, pad_mode="reflect")],
    "short window, uncentred": [sc.ConvSTFT(512, hop_length=128, win_length=400, center=False, output="real_imag")],
    "symmetric window, last dropped": [sc.ConvSTFT(400, win_length=321, periodic=False, drop_last=True)],
    "tuple window": [sc.ConvSTFT(256, hop_length=100, window=("kaiser", 8.0), output="magnitude")],
    "htk, no norm": [sc.ConvSTFT(output="magnitude"), sc.Mel(23, sample_rate=16000, n_fft=400, scale="htk", norm=None)],
    "log10 of magnitudes": [sc.ConvSTFT(output="magnitude"), sc.Log(base="10", floor=1e-5)],
    "additive dB": [sc.ConvSTFT(output="power"), sc.Log(base="db", floor=1e-6, additive=True)],
    "cepstrum": [sc.ConvSTFT(output="power"), sc.Log(), sc.DCT(13, n_mels=201), sc.Lifter(kind="librosa")],
    "plain DCT": [sc.ConvSTFT(output="power"), sc.Log(), sc.DCT(13, n_mels=201, norm=None)],
    "range": [sc.ConvSTFT(output="power"), sc.Log(base="db"), sc.DynamicRange(top=30.0)],
    "pcen": [sc.ConvSTFT(output="power"), sc.PCEN()],
    "pcen, logarithm": [sc.ConvSTFT(output="power"), sc.PCEN(power=0, gain=0.8, smoothing=0.2)],
    "pcen, power": [sc.ConvSTFT(output="power"), sc.PCEN(bias=0, power=0.25)],
    "deltas": [sc.ConvSTFT(output="power"), sc.Deltas(2, width=9, rule="librosa-interp")],
    "deltas, nearest": [sc.ConvSTFT(output="power"), sc.Deltas(1, width=5, rule="librosa-nearest")],
    "preemphasis": [sc.Preemphasis(), sc.ConvSTFT(output="power")],
    "a least length": [sc.MinimumLength(20000), sc.ConvSTFT(output="power")],
    "affine": [sc.Affine(scale=32768.0, offset=1.0), sc.ConvSTFT(output="power")],
    "whisper's end": [sc.ConvSTFT(output="power"), sc.Log(base="10"), sc.Affine(scale=0.25, offset=1.0)],
    "nested": [Sequential(sc.ConvSTFT(output="power"), torch.nn.Identity()), sc.Log()],
    "learned window": [sc.ConvSTFT(learn="window", output="power")],
    "free filters at their start": [sc.ConvSTFT(learn="free", output="power")],
}


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_with_an_equal_agrees_in_float64(name: str) -> None:
    pipe = sc.Pipeline(STAGES[name], sample_rate=16000)
    # 1e-12 as in the law; free filters are stored as float32, which rounds to 6e-8
    tolerance = 1e-6 if name.startswith("free") else 1e-12
    result = sc.compare(noise(), 16000, pipeline=pipe, dtype=torch.float64, tolerance=tolerance)
    assert result.passed, result


def test_every_stage_with_an_equal_has_an_example() -> None:
    seen = {type(part) for stages in STAGES.values() for stage in stages for part in stage.modules()}
    seen |= {sc.Mel}
    assert set(librosa.EQUALS) <= seen


def test_a_learned_window_is_told_to_librosa() -> None:
    stft = sc.ConvSTFT(learn="window", output="power")
    torch.nn.init.normal_(dict(stft.named_parameters())["window_delta"], std=0.1)
    result = sc.compare(noise(), 16000, pipeline=sc.Pipeline([stft], sample_rate=16000), dtype=torch.float64)
    assert result.max_abs < 1e-12


def learned(stage: torch.nn.Module) -> torch.nn.Module:
    for parameter in stage.parameters():
        torch.nn.init.normal_(parameter, std=0.01)
    return stage


POWER = sc.ConvSTFT(output="power")


@pytest.mark.parametrize(
    ("stages", "words"),
    [
        ([learned(sc.ConvSTFT(learn="free"))], r"'stft' \(ConvSTFT\): its kernels \(learn='free'\) have moved away"),
        ([learned(sc.ConvSTFT(learn="delta"))], r"its kernels \(learn='delta'\) have moved away"),
        ([learned(sc.ConvSTFT(learn="freq"))], r"its kernels \(learn='freq'\) have moved away"),
        (
            [POWER, sc.Mel(sample_rate=16000, n_fft=400, scale="kaldi")],
            r"'mel' \(Mel\): its triangles are linear in mel",
        ),
        ([POWER, learned(sc.Mel(sample_rate=16000, n_fft=400, learn=True))], r"'mel' \(Mel\): its matrix has learned"),
        ([POWER, sc.Deltas(rule="kaldi")], r"'deltas' \(Deltas\): rule='kaldi'"),
        ([POWER, sc.Lifter()], r"'lifter' \(Lifter\): kind='kaldi'"),
        ([sc.WaveNetEncoder()], r"'wavenet_encoder' \(WaveNetEncoder\): there is no such function"),
        ([Sequential(POWER, sc.LayerNorm(201))], r"'sequential.1' \(LayerNorm\): there is no such function"),
    ],
)
def test_a_stage_without_an_equal_is_named(stages: list[torch.nn.Module], words: str) -> None:
    with pytest.raises(ValueError, match=f"librosa has no equal for stage .*{words}"):
        sc.compare(noise(), 16000, pipeline=sc.Pipeline(stages, sample_rate=16000))


def test_another_rate_is_resampled_as_extract_does(audio_samples: Path, tmp_path: Path) -> None:
    sound = audio_samples / "speech" / "de_digits_8k.flac"
    wav, rate = soundfile.read(sound)
    extract(sound, out=tmp_path)
    np.testing.assert_allclose(sc.compare(wav, rate).features, np.load(tmp_path / "de_digits_8k.npy"), atol=1e-4)
    assert sc.compare(wav, rate).sample_rate == 16000


def test_arrays_tensors_and_integers_are_the_same_sound() -> None:
    whole = np.round(noise() * 32767).astype(np.int16)
    results = [sc.compare(x, 16000) for x in (whole, torch.from_numpy(whole), whole / 32768)]
    assert results[0] == results[1] == results[2]
    assert np.array_equal(results[0].reference, results[2].reference)


def test_silence_passes_and_has_no_level() -> None:
    result = sc.compare(np.zeros(8000), 16000, pipeline="stft")
    assert (result.max_abs, result.relative_l2, result.max_db, result.passed) == (0, 0, None, True)
    assert json.loads(result.to_json())["max_db"] is None


def test_json_holds_every_figure_and_no_array() -> None:
    figures = json.loads(sc.compare(noise(), 16000).to_json())
    assert figures["frames"] == 51
    assert figures["scale_name"] == "log power"
    assert figures["passed"] is True
    assert not {"features", "reference", "seconds", "hertz"} & figures.keys()


def test_features_that_are_not_numbers_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(librosa.EQUALS, Bump, lambda _, features: features)
    pipe = sc.Pipeline([sc.ConvSTFT(output="power"), Bump(float("nan"))], sample_rate=16000)
    result = sc.compare(noise(), 16000, pipeline=pipe)
    assert not result.passed
    assert (result.worst_frame, result.worst_bin) == (7, 3)
    assert json.loads(result.to_json())["max_abs"] is None


@pytest.mark.parametrize(
    ("wav", "settings", "words"),
    [
        (noise()[None], {}, r"expected a waveform of shape \(samples,\), got \(1, 8000\)"),
        (np.array([0.0, np.nan] * 400), {}, "sample 1 of the waveform is nan"),
        (noise(), {"tolerance": -1.0}, r"tolerance \(=-1.0\) must be >= 0"),
        (noise(), {"tolerance": float("nan")}, r"tolerance \(=nan\) must be >= 0"),
        (noise(), {"against": "nnaudio"}, r"against \(='nnaudio'\) must be one of 'librosa'"),
        (noise(), {"dtype": torch.float16}, r"dtype \(=torch.float16\) must be one of"),
        (noise(0), {}, "0 samples at 16000 Hz are too few for one frame"),
        (noise(300), {"overrides": {"stft.center": False}}, "300 samples at 16000 Hz are too few .* takes 400"),
        (noise(), {"overrides": {"stft.hop": 3}}, "unknown key 'hop'"),
    ],
)
def test_bad_arguments_say_what_is_wrong(wav: NDArray[np.float64], settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        sc.compare(wav, 16000, **settings)


def test_samples_of_another_kind_are_refused() -> None:
    with pytest.raises(TypeError, match="expected floating or signed integer samples, got uint8"):
        sc.compare(np.zeros(8000, np.uint8), 16000)


def test_a_pipeline_in_training_is_compared_in_eval_mode_and_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(librosa.EQUALS, torch.nn.Dropout, lambda _, features: features)  # as in eval mode alone
    pipe = sc.Pipeline([*sc.Pipeline.from_preset("logmel"), torch.nn.Dropout(0.5)], sample_rate=16000).train()
    assert sc.compare(noise(), 16000, pipeline=pipe, dtype=torch.float64, tolerance=1e-12).passed
    assert all(part.training for part in pipe.modules())
    assert all(buffer.dtype == torch.float32 for _, part in named_parts(pipe) for buffer in part.buffers())


def test_a_short_sound_under_interp_deltas_says_that_librosa_refuses() -> None:
    pipe = sc.Pipeline([sc.ConvSTFT(output="power"), sc.Deltas(1, width=9, rule="librosa-interp")], sample_rate=16000)
    with pytest.raises(ValueError, match=r"librosa refuses stage 'deltas' \(Deltas\)"):
        sc.compare(noise(500), 16000, pipeline=pipe)


def test_comparable_checks_before_any_sound_is_read() -> None:
    with pytest.raises(ValueError, match="'wavenet_encoder'"):
        engine.comparable(
            sc.Pipeline([sc.WaveNetEncoder()], sample_rate=16000),
            against="librosa",
            overrides=None,
            tolerance=0.0,
            dtype=torch.float32,
        )
