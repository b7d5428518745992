"""Connected digits with CTC: recordings, the folds that prepare writes, and utterances made of single digits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from recipes.digits_ctc import prepare
from recipes.digits_ctc.corpus import find_clips, fold_named, folds, official, read
from recipes.digits_ctc.utterances import FEWEST, MOST, Utterance, connected, isolated
from tests.recipes.digits_voices import VOICES

# Recordings and folds.


def test_recordings_are_found_by_their_names(tone_folder: Path) -> None:
    clips = find_clips(tone_folder)
    assert {(clip.digit, clip.speaker, clip.take) for clip in clips} == {
        (digit, speaker, take) for digit in (0, 7) for speaker in ("ann", "bob") for take in (0, 5, 12)
    }
    assert find_clips(tone_folder / "recordings") == clips
    assert [len(read(clip)) for clip in clips] == [soundfile.info(clip.path).frames for clip in clips]


def test_a_list_says_what_is_where_in_longer_files() -> None:
    clips = find_clips(VOICES)
    whole, _ = soundfile.read(VOICES / "rpf2.flac", dtype="float32")
    own = [clip for clip in clips if clip.speaker == "rpf2"]
    assert [clip.digit for clip in own] == [*range(10), *range(10)]
    assert np.array_equal(np.concatenate([read(clip) for clip in own]), whole)


def test_folders_can_be_taken_together(tone_folder: Path) -> None:
    assert len(find_clips(tone_folder, VOICES)) == 12 + 160


def test_the_official_split_is_by_takes(tone_folder: Path) -> None:
    fold = official(find_clips(tone_folder))
    assert {clip.take for clip in fold.test} == {0}
    assert {clip.take for clip in fold.training} == {5, 12}


def test_each_speaker_of_the_folder_is_left_out_once(tone_folder: Path) -> None:
    clips = find_clips(tone_folder)
    assert [fold.name for fold in folds(clips)] == ["without-ann", "without-bob", "official"]
    for fold in folds(clips)[:2]:
        assert not {clip.speaker for clip in fold.training} & {clip.speaker for clip in fold.test}
        assert sorted((*fold.training, *fold.test), key=str) == sorted(clips, key=str)
        assert fold_named(clips, fold.name) == fold


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("without-carl", "no speaker carl in the data; it has ann, bob"),
        ("without-ann,bob", "'without-ann,bob' is empty: no recording is left to train on"),
        ("mine", r"fold \(='mine'\) must be official or without-SPEAKER"),
    ],
)
def test_a_fold_that_cannot_be_is_told(tone_folder: Path, name: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fold_named(find_clips(tone_folder), name)


def test_missing_data_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere; expected one with recordings"):
        find_clips(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="expected a clone of the Free Spoken Digit Dataset"):
        find_clips(tmp_path)
    (tmp_path / "clips.json").write_text('[{"file": "a.flac"}]')
    with pytest.raises(ValueError, match="is not a list of file, start, samples, digit, speaker and take"):
        find_clips(tmp_path)


def test_another_rate_and_a_damaged_file_are_told(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "1_ann_0.wav", np.zeros(100), 16000)
    (tmp_path / "2_ann_0.wav").write_bytes(b"RIFF")
    wrong, damaged = find_clips(tmp_path)
    with pytest.raises(ValueError, match=r"1_ann_0.wav has 16000 Hz and 1 channel\(s\); this recipe takes 8000 Hz"):
        read(wrong)
    with pytest.raises(ValueError, match=r"2_ann_0\.wav: "):
        read(damaged)


def test_prepare_writes_each_fold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare.main(["--data", str(VOICES), "--output", str(tmp_path), "--test-speakers", "usm7,clf5"])
    assert "120 recordings to train on, 40 to test in 8 utterances" in capsys.readouterr().out
    (content,) = (json.loads(path.read_text()) for path in tmp_path.iterdir())
    assert content["name"] == "without-clf5,usm7"
    assert sum(len(utterance["words"]) for utterance in content["utterances"]) == 40


# Utterances.


def test_every_test_clip_is_said_once_by_one_speaker_at_a_time() -> None:
    clips = find_clips(VOICES)
    utterances = connected(clips, 0)
    assert sorted((clip for one in utterances for clip in one.clips), key=str) == sorted(clips, key=str)
    assert all(len({clip.speaker for clip in one.clips}) == 1 for one in utterances)
    lengths = [len(one.clips) for one in utterances]
    assert max(lengths) == MOST
    assert sum(length < FEWEST for length in lengths) <= 8  # what is left over of each speaker
    assert connected(clips, 0) == utterances != connected(clips, 1)
    assert [one.words for one in isolated(clips, 0)] == [[clip.word] for clip in clips]


def test_an_utterance_holds_its_clips_where_it_says_over_a_faint_hiss() -> None:
    (utterance, *_) = connected(find_clips(VOICES), 3)
    wav, ends = utterance.render(read)
    for clip, end in zip(utterance.clips, ends, strict=True):
        sound = read(clip)
        assert np.abs(wav[end - len(sound) : end] - sound).max() < 1e-3
    assert len(wav) == ends[-1] + utterance.pauses[-1]
    pause = wav[: utterance.pauses[0]]
    assert 0.5e-4 < np.sqrt(np.mean(np.square(pause))) < 2e-4


def test_a_negative_pause_lets_two_digits_overlap() -> None:
    one, other = find_clips(VOICES)[:2]
    wav, ends = Utterance((one, other), (100, -300, -50), seed=0).render(read)
    expected = np.zeros(len(wav), np.float32)
    expected[100 : 100 + len(read(one))] += read(one)
    expected[ends[0] - 300 : ends[1]] += read(other)
    assert ends == [100 + len(read(one)), len(wav)]
    assert np.abs(wav - expected).max() < 1e-3
