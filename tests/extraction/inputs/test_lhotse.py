"""lhotse's manifests, written by lhotse; the samples are those that lhotse loads."""

from __future__ import annotations

import os
from pathlib import Path

import lhotse
import numpy as np
import pytest
import soundfile
from lhotse import CutSet, MonoCut, Recording, RecordingSet
from lhotse.audio import AudioSource
from numpy.typing import NDArray

from speechconv.audio.waveform import Waveform
from speechconv.extraction.inputs import Input, find_inputs
from tests.sounds import noise


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """mono.wav and stereo.flac, two seconds each, in the working directory."""
    monkeypatch.chdir(tmp_path)
    soundfile.write("mono.wav", noise(16_000), 8000)
    soundfile.write("stereo.flac", noise(16_000, 2, seed=1), 8000)


def mono() -> Recording:
    return Recording.from_file("mono.wav", recording_id="mono, too")


def stereo() -> Recording:
    return Recording.from_file("stereo.flac")


def command() -> Recording:
    source = AudioSource("command", [0], "cat mono.wav")
    return Recording("piped", [source], sampling_rate=8000, num_samples=16_000, duration=2.0)


def two_files() -> Recording:
    sources = [AudioSource("file", [0], "mono.wav"), AudioSource("file", [1], "mono.wav")]
    return Recording("two", sources, sampling_rate=8000, num_samples=16_000, duration=2.0)


def samples(item: Input) -> NDArray[np.float32]:
    with item.open() as sound:
        channel = "mix" if item.channel is None else item.channel
        return np.concatenate(list(Waveform(sound, sample_rate=8000, channel=channel).blocks()))


def problem(cut: lhotse.cut.Cut) -> str:
    CutSet.from_cuts([mono().to_cut(), cut]).to_file("cuts.jsonl")
    good, bad = find_inputs(["cuts.jsonl"], allow_commands=True).items
    assert good.problem is None
    return str(bad.problem).removeprefix("cuts.jsonl, line 2: ")


@pytest.mark.parametrize("name", ["recordings.jsonl", "recordings.jsonl.gz"])
def test_recordings_are_what_lhotse_loads(name: str) -> None:
    recordings = [mono(), stereo(), command()]
    RecordingSet.from_recordings(recordings).to_file(name)
    found = find_inputs([name], allow_commands=True)
    assert found.statements == [f"{name}: lhotse recordings, 3 sounds"]
    for item, recording in zip(found.items, recordings, strict=True):
        assert item.id == recording.id
        np.testing.assert_allclose(samples(item), recording.load_audio().mean(axis=0), rtol=0, atol=2**-24)


def test_cuts_are_what_lhotse_loads() -> None:
    cuts = [
        mono().to_cut(),
        mono().to_cut().truncate(offset=0.3, duration=0.7).with_id("from 0.3"),
        MonoCut("right", start=0.5, duration=1.0, channel=1, recording=stereo()),
        stereo().to_cut().truncate(offset=1.0, duration=0.5).with_id("both"),
        MonoCut("second file", start=0.25, duration=1.0, channel=1, recording=two_files()),
        MonoCut("piped", start=0.25, duration=1.0, channel=0, recording=mono()),
    ]
    judged = [cut.load_audio().mean(axis=0) for cut in cuts]
    cuts[-1] = MonoCut("piped", start=0.25, duration=1.0, channel=0, recording=command())  # the same sound
    CutSet.from_cuts(cuts).to_file("cuts.jsonl.gz")
    found = find_inputs(["cuts.jsonl.gz"], allow_commands=True)
    assert found.statements == ["cuts.jsonl.gz: lhotse cuts, 6 sounds"]
    assert [item.id for item in found.items] == [cut.id for cut in cuts]
    for item, expected in zip(found.items, judged, strict=True):
        np.testing.assert_allclose(samples(item), expected, rtol=0, atol=2**-24)


def test_a_cut_has_its_own_channel_and_a_cut_of_all_has_the_runs() -> None:
    cuts = [MonoCut("right", start=0.0, duration=1.0, channel=1, recording=stereo()), stereo().to_cut()]
    CutSet.from_cuts(cuts).to_file("cuts.jsonl")
    assert [item.channel for item in find_inputs(["cuts.jsonl"]).items] == [1, None]


def test_commands_run_only_where_they_are_allowed() -> None:
    RecordingSet.from_recordings([command(), mono()]).to_file("recordings.jsonl")
    refused, _ = find_inputs(["recordings.jsonl"]).items
    assert "line 1: 'cat mono.wav' is a command, not a file; to run it, allow commands" in str(refused.problem)


def test_what_is_in_no_file_is_a_problem_in_words() -> None:
    cut = mono().to_cut()
    assert problem(cut.pad(duration=3.0)).startswith("MixedCut ")
    assert "has no recording" in problem(MonoCut("bare", start=0.0, duration=1.0, channel=0))
    assert "has transforms (Speed)" in problem(cut.perturb_speed(1.1))
    assert "wants the channels [0, 1] of [0, 1]; expected one" in problem(two_files().to_cut())
    far = Recording("far", [AudioSource("url", [0], "http://localhost/x.wav")], 8000, 16_000, 2.0)
    CutSet.from_cuts([cut, far.to_cut()]).to_file("cuts.jsonl")
    assert "the recording's source is of type 'url'" in str(find_inputs(["cuts.jsonl"]).items[1].problem)
    RecordingSet.from_recordings([mono(), two_files()]).to_file("recordings.jsonl")
    assert "the recording has 2 sources; expected one" in str(find_inputs(["recordings.jsonl"]).items[1].problem)


def test_a_bad_line_first_does_not_hide_whose_list_it_is() -> None:
    CutSet.from_cuts([mono().to_cut()]).to_file("cuts.jsonl")
    Path("cuts.jsonl").write_text("nonsense\n" + Path("cuts.jsonl").read_text())
    found = find_inputs(["cuts.jsonl"])
    assert [item.problem is None for item in found.items] == [False, True]
    assert found.statements == ["cuts.jsonl: lhotse cuts, 1 sound, 1 line that cannot be used"]


def test_resampling_is_left_to_the_run() -> None:
    RecordingSet.from_recordings([mono().resample(16_000)]).to_file("recordings.jsonl")
    assert find_inputs(["recordings.jsonl"]).items == [Input("mono, too", "mono.wav")]


@pytest.mark.parametrize("sources", ["3", "[]", '[{"type": "file", "source": "x.wav"}]', '["x.wav"]'])
def test_a_recording_of_another_shape_is_a_problem(sources: str) -> None:
    Path("recordings.jsonl").write_text(
        '{"id": "a", "sources": [{"type": "file", "channels": [0], "source": "mono.wav"}]}\n'
        f'{{"id": "b", "sources": {sources}}}\n'
    )
    _, bad = find_inputs(["recordings.jsonl"]).items
    assert "source" in str(bad.problem)
    assert os.path.basename(bad.audio) == "recordings.jsonl:2"


@pytest.mark.parametrize("recording", ['{"id": "b"}', '{"id": "b", "sources": 3}'])
def test_a_cut_of_a_recording_of_another_shape_is_a_problem(recording: str) -> None:
    CutSet.from_cuts([mono().to_cut()]).to_file("cuts.jsonl")
    bare = f'{{"id": "b", "type": "MonoCut", "start": 0, "channel": 0, "recording": {recording}}}\n'
    Path("cuts.jsonl").write_text(Path("cuts.jsonl").read_text() + bare)
    good, bad = find_inputs(["cuts.jsonl"]).items
    assert good.problem is None
    assert "source" in str(bad.problem)


def test_transforms_of_another_shape_are_a_problem() -> None:
    source = '"sources": [{"type": "file", "channels": [0], "source": "mono.wav"}]'
    Path("recordings.jsonl").write_text(f'{{"id": "a", {source}}}\n{{"id": "b", {source}, "transforms": 3}}\n')
    good, bad = find_inputs(["recordings.jsonl"]).items
    assert good.problem is None
    assert bad.problem == "recordings.jsonl, line 2: expected a list of transforms, got int."
