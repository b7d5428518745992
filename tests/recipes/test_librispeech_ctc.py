"""LibriSpeech's recipe on a generated corpus in the same layout, from its files to error rates."""

from __future__ import annotations

import json
import os
import re
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
import soundfile
import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.flop_counter import FlopCounterMode
from torchaudio import models

import speechconv as sc
from recipes.ctc.processes import Processes
from recipes.ctc.recogniser import Recogniser
from recipes.ctc.run_folder import RunFolder
from recipes.ctc.trainer import Batch, ctc_loss
from recipes.ctc.vocabulary import Vocabulary
from recipes.librispeech_ctc import evaluate as evaluation
from recipes.librispeech_ctc import train as training
from recipes.librispeech_ctc.acoustic import Acoustic
from recipes.librispeech_ctc.batches import Ahead, Batches, Batching
from recipes.librispeech_ctc.config import SETTINGS, check_shareable, load_config, new_recogniser, open_front
from recipes.librispeech_ctc.conformer import Conformer
from recipes.librispeech_ctc.corpus import SAMPLE_RATE, Utterance, find_utterances, read
from recipes.librispeech_ctc.examples import Example, choose
from recipes.librispeech_ctc.tones import write_corpus
from recipes.librispeech_ctc.units import Characters, Pieces, text_of, train_pieces
from tests.conftest import ROOT
from tests.recipes.librispeech_shares import MOST, gradients

TINY = SETTINGS.with_name("tiny.toml")
README = SETTINGS.with_name("README.md")
SMALL = Acoustic(channels=16, layers=2, heads=2, feed_forward=32, kernel_size=5, dropout=0.0)
LETTERS = Vocabulary(tuple("ABCDEFY▁"))
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
ENCODER = """
sample_rate = 16000
[[stages]]
stage = "feature_encoder"
channels = 16
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tones")
    write_corpus(folder)
    return folder


@pytest.fixture
def chapter(corpus: Path, tmp_path: Path) -> Path:
    """A copy of one chapter, to be damaged; the corpus is its grandparent's parent."""
    return Path(shutil.copytree(corpus / "test", tmp_path / "test") / "20" / "200")


# The corpus


def test_a_corpus_is_read_as_soundfile_reads_it(corpus: Path) -> None:
    utterances = find_utterances(corpus / "train", corpus / "test")
    assert len(utterances) == 4 * 3 * 8 + 8
    for one in utterances[::7]:
        wav, rate = soundfile.read(one.path, dtype="float32")
        assert (rate, len(wav)) == (SAMPLE_RATE, one.samples)
        assert np.array_equal(read(one), wav)
        assert f"{one.name} {one.text}" in next(one.path.parent.glob("*.trans.txt")).read_text().splitlines()


def _empty(chapter: Path) -> None:
    shutil.rmtree(chapter.parent)


def _without_transcripts(chapter: Path) -> None:
    (chapter / "20-200.trans.txt").unlink()


def _without_recording(chapter: Path) -> None:
    (chapter / "20-200-0003.flac").unlink()


def _one_more_recording(chapter: Path) -> None:
    for name in ("20-200-0100", "20-200-0101"):
        shutil.copy(chapter / "20-200-0000.flac", chapter / f"{name}.flac")


def _line_without_text(chapter: Path) -> None:
    with open(chapter / "20-200.trans.txt", "a") as file:
        file.write("20-200-0008\n")


def _line_twice(chapter: Path) -> None:
    with open(chapter / "20-200.trans.txt", "a") as file:
        file.write("20-200-0003 ACE\n")


def _no_lines(chapter: Path) -> None:
    (chapter / "20-200.trans.txt").write_text("")


def _other_rate(chapter: Path) -> None:
    soundfile.write(chapter / "20-200-0002.flac", np.zeros(8000), 8000)


def _two_channels(chapter: Path) -> None:
    soundfile.write(chapter / "20-200-0002.flac", np.zeros((8000, 2)), SAMPLE_RATE)


def _no_sound(chapter: Path) -> None:
    (chapter / "20-200-0002.flac").write_bytes(b"fLaC and then nothing of the kind")


FAULTS: dict[Callable[[Path], None], str] = {
    _empty: "test holds no SPEAKER/CHAPTER/",
    _without_transcripts: r"200 holds no 20-200.trans.txt; expected the transcripts",
    _without_recording: r"transcripts without a recording: 20-200-0003; complete",
    _one_more_recording: r"recordings without a transcript: 20-200-0100 and 1 more; complete",
    _line_without_text: r"trans.txt, line 9 \('20-200-0008'\): no transcript behind the name",
    _line_twice: r"trans.txt, line 9 \('20-200-0003'\): a second transcript of it",
    _no_lines: r"20-200.trans.txt is empty",
    _other_rate: r"0002.flac has 8000 Hz and 1 channel\(s\); this recipe takes 16000 Hz and one",
    _two_channels: r"0002.flac has 16000 Hz and 2 channel\(s\)",
    _no_sound: r"0002.flac: is not a sound file that can be read",
}


@pytest.mark.parametrize("damage", FAULTS)
def test_a_corpus_at_fault_is_told_in_one_line(chapter: Path, damage: Callable[[Path], None]) -> None:
    data = chapter.parent.parent
    damage(chapter)
    with pytest.raises((ValueError, FileNotFoundError), match=FAULTS[damage]) as caught:
        find_utterances(data)
    assert "\n" not in str(caught.value)


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere; expected one with SPEAKER/CHAPTER"):
        find_utterances(tmp_path / "nowhere")


def test_a_recording_that_was_cut_short_is_told_when_it_is_read(chapter: Path) -> None:
    path = chapter / "20-200-0002.flac"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    one = next(one for one in find_utterances(chapter.parent.parent) if one.path == path)
    with pytest.raises(ValueError, match=r"0002.flac: is truncated or damaged"):
        read(one)


# The vocabulary


def test_characters_tell_every_transcript(corpus: Path) -> None:
    texts = [one.text for one in find_utterances(corpus / "train")]
    units = Characters(texts)
    assert set(units.vocabulary.tokens) == set("ABCDEFY▁")
    for text in texts:
        assert text_of(units.vocabulary.decode(units.encode(text))) == text


def test_pieces_have_sentencepieces_own_numbers(corpus: Path, tmp_path: Path) -> None:
    texts = [one.text for one in find_utterances(corpus / "train")]
    train_pieces(texts, 30, tmp_path / "pieces.model")
    units = Pieces(tmp_path / "pieces.model")
    judge = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "pieces.model"))
    assert len(units.vocabulary) == 30
    for text in texts:
        numbers = units.encode(text)
        assert numbers == judge.encode(text)
        assert text_of(units.vocabulary.decode(numbers)) == judge.decode(numbers) == text
    assert sum(map(len, map(units.encode, texts))) < sum(map(len, texts)) / 2
    with pytest.raises(ValueError, match=r"the vocabulary has no 'Z', 'ä'; it has "):
        units.encode("BäD Z")


@pytest.mark.parametrize(("size", "why"), [(5, "smaller than required_chars"), (5000, "set it to a value <=")])
def test_a_size_that_the_transcripts_cannot_give_is_told(tmp_path: Path, size: int, why: str) -> None:
    with pytest.raises(ValueError, match=f"no vocabulary of {size} pieces from 2 transcripts: .*{why}"):
        train_pieces(["BAD FACE", "ACE"], size, tmp_path / "pieces.model")


def test_a_file_that_holds_no_pieces_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"expected characters, or a file that prepare.py made"):
        Pieces(tmp_path / "none.model")
    (tmp_path / "none.model").write_text("no model")
    with pytest.raises(ValueError, match="is not a sentencepiece model"):
        Pieces(tmp_path / "none.model")


# The model


def test_an_utterance_in_a_batch_gets_what_torchaudios_conformer_makes_of_it_alone() -> None:
    own = Conformer(16, heads=2, feed_forward=32, layers=2, kernel_size=5, dropout=0.0).double()
    for parameter in own.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    judge = models.Conformer(16, 2, 32, 2, 5, use_group_norm=True).double()
    judge.load_state_dict(own.state_dict())
    lengths = torch.tensor([40, 17, 1])
    rows = [torch.randn(n, 16, dtype=torch.float64) for n in lengths.tolist()]
    found, _ = own(pad_sequence(rows, batch_first=True, padding_value=torch.nan), lengths)
    for row, alone in enumerate(rows):
        expected, _ = judge(alone[None], lengths[row : row + 1])
        assert (found[row, : len(alone)] - expected[0]).abs().max() <= 1e-12 * expected.abs().max()  # float64
        assert not found[row, len(alone) :].any()


def _recogniser(front: sc.Pipeline) -> Recogniser:
    model = new_recogniser(front, SMALL, LETTERS).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)  # no bias of zero
    return model.eval()


@pytest.mark.parametrize("front", ["logmel", "encoder"])
def test_an_utterance_has_the_same_scores_and_gradients_in_any_batch(front: str) -> None:
    """Padding holds NaN; group norm and convolutions must not see what lies behind an utterance."""
    pipe = sc.Pipeline.from_toml(ENCODER) if front == "encoder" else sc.Pipeline.from_preset("logmel")
    model = _recogniser(pipe)
    sounds = [0.1 * torch.randn(n, dtype=torch.float64) for n in (16000, 9000, 4001, 300)]
    lengths = torch.tensor([len(sound) for sound in sounds])
    tokens = torch.tensor([1, 2, 3])
    wav = pad_sequence(sounds, batch_first=True, padding_value=torch.nan)
    batch = Batch(wav, lengths, tokens, torch.tensor([1, 1, 1, 0]))
    together, counts = model(wav, lengths)
    ctc_loss(together, counts, batch).backward()
    gradients = {
        name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None
    }
    model.zero_grad()
    assert counts.tolist() == {"logmel": [26, 15, 7, 1], "encoder": [25, 14, 6, 0]}[front]
    for row, sound in enumerate(sounds[: 4 if front == "logmel" else 3]):  # of no frames there is no loss
        alone, count = model(sound[None], lengths[row : row + 1])
        assert (together[row, : counts[row]] - alone[0]).abs().max() <= 1e-12 * alone.abs().max()  # float64
        ctc_loss(
            alone, count, replace(batch, tokens=tokens[row : row + 1], counts=batch.counts[row : row + 1])
        ).backward()
    largest = max(gradient.abs().max() for gradient in gradients.values())
    for name, parameter in model.named_parameters():
        if name in gradients:
            assert parameter.grad is not None, name
            assert (gradients[name] - parameter.grad).abs().max() <= 1e-11 * largest, name  # sums in another order


@pytest.mark.parametrize(
    ("preset", "frame_rate", "factor"), [("logmel", 25, 4), ("logmel", 100, 1), ("wav2vec2-base", 25, 2)]
)
def test_the_front_ends_frames_are_halved_down_to_the_frame_rate(preset: str, frame_rate: float, factor: int) -> None:
    front = sc.Pipeline.from_preset(preset)
    acoustic = replace(SMALL, frame_rate=frame_rate)
    encoder = acoustic.build(front)
    assert acoustic.factor(front) == factor
    for samples in (0, 399, 400, 16000, 16321, 17777):
        frames = torch.zeros(1, front.output_lengths(samples), front.output_dim)
        assert encoder.before(frames).shape[1] == acoustic.num_frames(front, samples)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"heads": 3}, r"channels \(=16\) must be a multiple of heads \(=3\)"),
        ({"kernel_size": 4}, r"kernel_size \(=4\) must be odd"),
        ({"frame_rate": 0}, r"frame_rate \(=0\) must be > 0"),
    ],
)
def test_sizes_that_do_not_fit_are_told(change: dict[str, int], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        replace(SMALL, **change).build(sc.Pipeline.from_preset("logmel"))


def test_bfloat16_stays_near_float32_and_leaves_front_end_and_logarithms_alone() -> None:
    model = _recogniser(sc.Pipeline.from_preset("logmel")).float()
    seen: list[torch.dtype] = []
    for part in (model.front, model.acoustic, model.head):
        part.register_forward_hook(lambda _, __, y: seen.append((y[0] if isinstance(y, tuple) else y).dtype))
    wav, lengths = 0.1 * torch.randn(2, 16000), torch.tensor([16000, 12000])
    exact, _ = model(wav, lengths)
    seen.clear()
    with torch.autocast("cpu", torch.bfloat16):
        near, _ = model(wav, lengths)
    assert seen == [torch.float32, torch.float32, torch.bfloat16]
    assert near.dtype == torch.float32
    assert 0 < (near - exact).norm() <= 0.02 * exact.norm()


# Batches


def _examples(count: int) -> list[Example]:
    samples = np.random.default_rng(0).integers(1 * SAMPLE_RATE, 16 * SAMPLE_RATE, count).tolist()
    return [Example(Utterance(Path(f"{i}.flac"), "A", n), (1,)) for i, n in enumerate(samples)]


def _batches(examples: list[Example], *, seed: int = 0, most: int = 32, processes: Processes | None = None) -> Batches:
    return Batches(examples, Batching(100.0, 16.0), None, seed=seed, most=most, processes=processes or Processes())


def test_an_epoch_has_every_utterance_once_in_batches_of_one_length() -> None:
    examples = _examples(500)
    batches = _batches(examples)
    padded = 0.0
    for epoch in range(3):
        steps = range(epoch * batches.per_epoch, (epoch + 1) * batches.per_epoch)
        numbers = [batches.utterances(step).tolist() for step in steps]
        assert sorted(number for batch in numbers for number in batch) == list(range(500))
        for batch in numbers:
            longest = max(examples[number].utterance.samples for number in batch) / SAMPLE_RATE
            assert len(batch) * longest <= 100
            assert len(batch) <= 32
            padded += len(batch) * longest
    assert padded <= 1.1 * 3 * sum(one.utterance.samples for one in examples) / SAMPLE_RATE
    assert 3 * batches.per_epoch <= 1.15 * padded / 100 + 3 * 8  # the shortest are capped at 32


def test_batches_follow_from_seed_and_epoch_alone() -> None:
    examples = _examples(200)
    first, second, other = _batches(examples), _batches(examples), _batches(examples, seed=1)
    size = first.per_epoch
    expected = [first.utterances(step).tolist() for step in range(2 * size)]
    assert [second.utterances(step).tolist() for step in reversed(range(2 * size))] == expected[::-1]
    assert [other.utterances(step).tolist() for step in range(2 * size)] != expected
    assert sorted(map(sorted, expected[:size])) != sorted(map(sorted, expected[size:]))  # others share a batch


def test_shares_of_two_processes_are_the_whole_batch(corpus: Path) -> None:
    config = load_config(TINY)
    utterances = find_utterances(corpus / "train")
    chosen = choose(utterances, Characters(one.text for one in utterances), 10.0, lambda samples: samples).chosen
    whole, *shares = (
        Batches(chosen, config.batches, config.holes, seed=0, most=7, processes=processes)
        for processes in (Processes(), Processes(0, 2), Processes(1, 2))
    )
    front = sc.Pipeline.from_preset("logmel")

    def rows(batch: Batch) -> list[tuple[list[int], torch.Tensor]]:
        frames, lengths = front(batch.wav, batch.lengths)
        assert batch.mask is not None
        holed = batch.mask(frames, lengths)
        assert (holed != frames).any(2).any(1).all()
        said = batch.tokens.split(batch.counts.tolist())
        return [(tokens.tolist(), row[:n]) for tokens, row, n in zip(said, holed, lengths.tolist(), strict=True)]

    expected, even, odd = rows(whole(3)), rows(shares[0](3)), rows(shares[1](3))
    assert (len(expected), len(even), len(odd)) == (7, 4, 3)
    for number, (tokens, frames) in enumerate(expected):
        found, own = (odd if number % 2 else even)[number // 2]
        assert found == tokens
        assert (own - frames).abs().max() <= 1e-4 * frames.abs().max()  # float32: the mean in a hole


def test_batches_read_ahead_are_the_same(corpus: Path) -> None:
    utterances = find_utterances(corpus / "train")
    chosen = choose(utterances, Characters(one.text for one in utterances), 10.0, lambda samples: samples).chosen
    batches = Batches(chosen, Batching(8.0, 10.0), None, seed=0, most=16, processes=Processes())
    with Ahead(batches, 3, 9) as ahead:
        for step in range(4, 9):
            found, expected = ahead(step), batches(step)
            assert torch.equal(found.wav, expected.wav)
            assert torch.equal(found.tokens, expected.tokens)


def test_a_batch_too_small_for_an_utterance_is_told() -> None:
    with pytest.raises(ValueError, match=r"a batch of 4.0 s cannot hold an utterance of 1\d.\d s"):
        Batches(_examples(9), Batching(4.0, 16.0), None, seed=0, most=8, processes=Processes())


def test_utterances_that_cannot_be_learned_from_are_left_out() -> None:
    texts = {"A": 1.0, "AAAA": 0.07, "ABAB": 0.04, "B": 3.0}
    utterances = [Utterance(Path(text), text, round(seconds * SAMPLE_RATE)) for text, seconds in texts.items()]
    found = choose(
        utterances, Characters(texts), 2.0, lambda samples: samples // 160
    )  # 7 frames are enough for A-A-A-A
    assert [one.utterance.text for one in found.chosen] == ["A", "AAAA", "ABAB"]
    assert (found.too_long, found.too_dense) == (1, 0)
    assert "3 utterances" in found.summary()
    found = choose(utterances, Characters(texts), 2.0, lambda samples: samples // 161)
    assert [one.utterance.text for one in found.chosen] == ["A"]
    with pytest.raises(ValueError, match=r"of 4 utterances 4 are longer than 0.01 s, 0 have more tokens than frames"):
        choose(utterances, Characters(texts), 0.01, lambda samples: samples)


# Training


def _train(corpus: Path, run: Path, *options: str) -> None:
    training.main(["--data", str(corpus / "train"), "--settings", str(TINY), "--output", str(run), *options])


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def _started(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, *arguments], env=_environment(), stdout=subprocess.PIPE)


def _log(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def test_two_processes_give_the_gradients_of_one(corpus: Path, tmp_path: Path) -> None:
    """Relative to the largest; float32. The second process has no utterance of a batch of one."""
    script = str(ROOT / "tests/recipes/librispeech_shares.py")
    with _started(*TORCHRUN, script, str(corpus / "train"), str(tmp_path)) as process:
        expected = {most: gradients(corpus / "train", tmp_path, most, Processes()) for most in MOST}
        assert process.wait() == 0
    for most in MOST:
        found = [torch.load(tmp_path / f"{most}-rank{rank}.pt") for rank in (0, 1)]
        assert all(torch.equal(found[0][name], found[1][name]) for name in expected[most])
        learned = [name for name in expected[most] if name.startswith("gradient")]
        assert 2 * len(learned) == len(expected[most])  # every weight
        largest = max(float(expected[most][name].abs().max()) for name in learned)
        for name in learned:
            assert (found[0][name] - expected[most][name]).abs().max() <= 1e-5 * largest, name


def test_a_killed_run_goes_on_with_the_same_bits(corpus: Path, tmp_path: Path) -> None:
    """In one process; two go on with it as well."""
    settings = tmp_path / "settings.toml"
    text = TINY.read_text().replace("dropout = 0.0", "dropout = 0.1").replace("save_every = 20", "save_every = 5")
    settings.write_text(text)
    options = ["--data", str(corpus / "train"), "--settings", str(settings), "--steps", "40"]
    killed = tmp_path / "killed"
    command = (str(SETTINGS.with_name("train.py")), *options, "--output", str(killed))
    with _started(*command) as process:
        while not (killed / "checkpoint.pt").exists() and process.poll() is None:
            time.sleep(0.01)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    step = RunFolder(killed).checkpoint()["step"]
    assert 0 < step < 40
    shared = shutil.copytree(killed, tmp_path / "shared")
    with _started(*TORCHRUN, command[0], *options, "--output", str(shared)) as process:
        training.main([*options, "--output", str(killed)])
        training.main([*options, "--output", str(tmp_path / "whole")])
        assert process.wait() == 0
    resumed, whole = (RunFolder(run).checkpoint()["model"] for run in (killed, tmp_path / "whole"))
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
    assert [line["step"] for line in _log(tmp_path / "whole")] == [20, 40]
    assert _log(shared)[-1]["step"] == 40
    assert _log(shared)[-1]["loss"] < _log(shared)[0]["loss"] / 2


def _said(command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """What a command prints; Python's run here, for a process of its own takes longer to import torch than to train."""
    program, *arguments = shlex.split(command)
    if program == "torchrun":
        done = subprocess.run(
            [sys.executable, *TORCHRUN[:2], *arguments], env=_environment(), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout
    monkeypatch.setattr(sys, "argv", arguments)
    runpy.run_path(arguments[0], run_name="__main__")
    return capsys.readouterr().out


def test_the_readmes_commands_run_and_the_recogniser_learns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    monkeypatch.chdir(tmp_path)
    commands = re.findall(
        r"^(?:python|torchrun) .*", "".join(re.findall(r"```sh\n(.*?)```", README.read_text(), re.S)), re.M
    )
    assert len(commands) == 5
    said = [_said(command, capsys, monkeypatch) for command in commands]
    losses = [line["loss"] for line in _log(tmp_path / "runs/tones")]
    assert losses[-1] < losses[0] / 20
    metrics = json.loads((tmp_path / "runs/tones/metrics.json").read_text())["test"]
    assert metrics["cer"]["value"] <= metrics["wer"]["value"] <= 0.1  # four seeds gave 0.0
    assert said[2].startswith("test: ")
    losses = [line["loss"] for line in _log(tmp_path / "runs/pieces")]
    assert losses[-1] < losses[0] / 1.5
    assert said[4].count("trained in") == 1  # the second process is silent
    assert sc.Pipeline.load(tmp_path / "runs/tones/pipeline.safetensors").output_dim == 80


def test_error_rates_are_those_of_the_texts(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ACE heard as ACE CAB: one word too many, four characters."""
    _train(corpus, tmp_path / "run", "--steps", "1")
    monkeypatch.setattr(
        evaluation.Trained, "transcribe", lambda _, utterances: [f"{one.text} CAB" for one in utterances]
    )
    utterances = find_utterances(corpus / "test")
    metrics = evaluation.evaluate(RunFolder(tmp_path / "run"), [corpus / "test"], torch.device("cpu"))["test"]
    assert metrics["wer"]["value"] == pytest.approx(8 / sum(len(one.text.split()) for one in utterances))
    assert metrics["cer"]["value"] == pytest.approx(8 * 4 / sum(len(one.text) for one in utterances))


def test_a_run_in_bfloat16_is_near_one_in_float32(corpus: Path, tmp_path: Path) -> None:
    losses = []
    for precision in ("float32", "bfloat16"):
        _train(corpus, tmp_path / precision, "--steps", "3", "--precision", precision)
        losses.append(_log(tmp_path / precision)[-1]["loss"])
    assert 0 < abs(losses[0] - losses[1]) <= 0.02 * losses[0]  # bfloat16 has 8 bits


@pytest.mark.parametrize("kind", ["toml", "saved", "run"])
def test_any_front_end_is_trained_along(corpus: Path, tmp_path: Path, kind: str) -> None:
    source = tmp_path / "front.toml"
    source.write_text(ENCODER)
    if kind != "toml":
        front = sc.Pipeline.from_toml(ENCODER)
        source = tmp_path / "pipeline.safetensors"
        front.save(source)
        source = source.parent if kind == "run" else source
    torch.manual_seed(0)
    before = open_front(str(source)).state_dict()
    _train(corpus, tmp_path / "out", "--steps", "1", "--front", str(source), "--seed", "0")
    after = sc.Pipeline.load(tmp_path / "out/pipeline.safetensors").state_dict()
    moved = [float((after[name] - before[name]).abs().max()) for name in before]
    assert 0 < max(moved) <= 0.0011  # one step of AdamW: 1 / 20 of the learning rate, and weight decay


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--front", "logmell"], "unknown preset 'logmell' in speechconv; did you mean 'logmel'"),
        (
            ["--front", str(ROOT / "recipes/digits_ctc/configs/logmel.toml")],
            "is for 8000 Hz, the recordings have 16000",
        ),
        (["--vocabulary", "none.model"], "no vocabulary none.model; expected characters"),
        (["--device", "cuda:99"], "GPU 99 is wanted"),
        (["--device", "abacus"], r"device \(='abacus'\) must be cpu, cuda"),
        (["--settings", "none.toml"], "no settings none.toml"),
        (["--data", "nowhere"], "no folder nowhere"),
    ],
)
def test_arguments_at_fault_are_told_in_one_line(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], why: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        _train(corpus, tmp_path / "run", *options)
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert re.match(f"error: .*{why}", said)
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[acoustics]", "unknown table 'acoustics' in .*; did you mean 'acoustic'"),
        ("[acoustic]\nchanels = 3", "unknown key 'chanels' in .*; did you mean 'channels'"),
        ("[spec_augment]\nspeeds = [1.0]", "unknown key 'speeds'"),
        ("[acoustic", "is not valid TOML"),
    ],
)
def test_settings_at_fault_are_told(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "my.toml").write_text(text)
    with pytest.raises(ValueError, match=why):
        load_config(tmp_path / "my.toml")


def test_a_front_end_with_batch_norm_is_refused_in_several_processes() -> None:
    front = sc.Pipeline([sc.ConvSTFT(output="power"), sc.BatchNorm(201)], sample_rate=SAMPLE_RATE)
    with pytest.raises(ValueError, match="the front-end holds BatchNorm"):
        check_shareable(front)
    check_shareable(sc.Pipeline.from_preset("logmel"))


def test_another_vocabulary_another_recipe_and_no_checkpoint_are_told(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, cpu = RunFolder(tmp_path / "run"), torch.device("cpu")
    with pytest.raises(FileNotFoundError, match=r"holds no config.json; expected the folder of a run"):
        evaluation.evaluate(run, [corpus / "test"], cpu)
    _train(corpus, run.path, "--steps", "1")
    pieces = tmp_path / "pieces.model"
    train_pieces([one.text for one in find_utterances(corpus / "train")], 20, pieces)
    with pytest.raises(SystemExit):
        _train(corpus, run.path, "--steps", "1", "--vocabulary", str(pieces))
    assert re.search(r"run was made with 8 tokens \(A B C D E F Y ▁\), this data has 19", capsys.readouterr().err)
    lower = Path(shutil.copytree(corpus / "test", tmp_path / "lower"))
    transcript = lower / "20/200/20-200.trans.txt"
    transcript.write_text(transcript.read_text().lower())
    with pytest.raises(ValueError, match=r"cannot tell 'a', 'b', .* of .*lower; it has A B C D E F Y ▁"):
        evaluation.evaluate(run, [lower], cpu)
    (run.path / "checkpoint.pt").unlink()
    with pytest.raises(FileNotFoundError, match="holds no checkpoint yet"):
        evaluation.evaluate(run, [corpus / "test"], cpu)
    other = RunFolder(tmp_path / "other")
    other.begin({"tokens": ["one"]})
    with pytest.raises(ValueError, match="is a run of another recipe"):
        evaluation.evaluate(other, [corpus / "test"], cpu)


# What the README says of the real one


def test_the_readmes_arithmetic_is_that_of_the_default_model() -> None:
    front = open_front("logmel")
    letters = Vocabulary(tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ'▁"))
    acoustic = load_config(SETTINGS).acoustic
    model = new_recogniser(front, acoustic, letters)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    frames = acoustic.num_frames(front, round(12.3 * SAMPLE_RATE))
    features = torch.zeros(1, front.output_lengths(round(12.3 * SAMPLE_RATE)), 80)
    # in training mode: what attention takes without dropout, this counter does not know
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.head(model.acoustic(features, torch.tensor([features.shape[1]]))[0])
    counted = counter.get_total_flops() / frames
    text = README.read_text()
    assert f"| {parameters / 1e6:.1f} M |" in text
    assert f"T = {frames} " in text
    assert f"| {counted / 1e6:.0f} MFLOP |" in text
    assert counted == pytest.approx(2 * parameters + 4 * frames * acoustic.channels * acoustic.layers, rel=0.01)
