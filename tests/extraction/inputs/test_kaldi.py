"""Kaldi's lists, judged by Kaldi's own readers: kaldi_native_io for wav.scp, kaldiio for segments."""

from __future__ import annotations

import os
from pathlib import Path

import kaldi_native_io
import kaldiio
import numpy as np
import pytest
import soundfile

from speechconv.audio.files import AudioFile
from speechconv.extraction.inputs import Input, find_inputs
from tests.sounds import noise

LINES = "one data/one.wav\ntwo\t data/a b.wav  \nthree.x/y  data/one.wav\n"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The Kaldi folder "data" in the working directory, with two sounds of two seconds."""
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    for seed, name in enumerate(("one.wav", "a b.wav")):
        soundfile.write(f"data/{name}", noise(16_000, seed=seed), 8000)
    Path("data/wav.scp").write_text(LINES)
    return Path("data")


def problems(found: list[Input]) -> list[str]:
    return [item.problem for item in found if item.problem]


def test_a_wav_scp_names_what_kaldi_finds_in_it(data: Path) -> None:
    found = find_inputs([data / "wav.scp"])
    assert [item.id for item in found.items] == ["one", "two", "three.x/y"]
    reader = kaldi_native_io.RandomAccessWaveReader("scp:data/wav.scp")
    for item in found.items:
        with AudioFile(item.audio, item.start, item.duration) as sound:
            (block,) = sound.blocks()
            assert sound.sample_rate == reader[item.id].sample_freq
        np.testing.assert_array_equal(block[:, 0] * 32768, reader[item.id].data.numpy()[0])
    assert found.statements == ["data/wav.scp: Kaldi wav.scp, 3 sounds"]


def test_segments_beside_it_cut_what_kaldiio_cuts(data: Path) -> None:
    (data / "segments").write_text("u-1 one 0.25 0.75\nu-2 two 1 1.5\nu-3 one 1.5 2.0\n")
    found = find_inputs([data])
    judged = kaldiio.load_scp("data/wav.scp", segments="data/segments")
    assert [item.id for item in found.items] == list(judged) == ["u-1", "u-2", "u-3"]
    for item in found.items:
        with AudioFile(item.audio, item.start, item.duration) as sound:
            (block,) = sound.blocks()
        np.testing.assert_array_equal(block[:, 0] * 32768, judged[item.id][1])
    assert found.statements == ["data/wav.scp: Kaldi wav.scp with data/segments, 3 sounds"]


def test_segments_can_be_named_or_left_alone(data: Path) -> None:
    (data / "segments").write_text("u one 0 1\n")
    Path("other").write_text("v two 0.5 -1 1\n")
    assert find_inputs([data], segments="other").items == [Input("v", "data/a b.wav", 0.5, None, 1)]
    assert [item.id for item in find_inputs([data], segments="none").items] == ["one", "two", "three.x/y"]
    with pytest.raises(ValueError, match=r"belongs to one wav\.scp; 0 are among the inputs"):
        find_inputs(["data/one.wav"], segments="other")
    with pytest.raises(ValueError, match=r"segments \(=gone\): no such file"):
        find_inputs([data], segments="gone")


def test_commands_run_only_where_they_are_allowed(data: Path) -> None:
    Path("data/wav.scp").write_text("a cat data/one.wav | sox - - |\nb data/one.wav\n")
    (refused, _) = find_inputs([data]).items
    assert refused.problem == (
        "data/wav.scp, line 1: 'cat data/one.wav | sox - -' is a command, not a file; to run it, allow commands "
        "(--allow-commands)."
    )
    (allowed, _) = find_inputs([data], allow_commands=True).items
    assert allowed == Input("a", "cat data/one.wav | sox - -", is_command=True)
    Path("data/segments").write_text("u a 0 1\nv b 0 1\n")
    assert find_inputs([data], allow_commands=True).items[0] == Input("u", allowed.audio, 0.0, 1.0, is_command=True)
    assert problems(find_inputs([data]).items)[1] == "data/segments, line 1: wav.scp has no usable recording 'a'."


def test_a_bad_line_is_a_problem_with_its_number(data: Path) -> None:
    (data / "wav.scp").write_text("one data/one.wav\n\nalone\none data/a b.wav\n")
    found = find_inputs([data]).items
    assert [(item.id, item.problem and item.problem[:50]) for item in found] == [
        ("one", None),
        ("data/wav.scp:3", "data/wav.scp, line 3: expected 'ID PATH' or 'ID CO"),
        ("one", "has the id 'one', as data/one.wav before it; give "),
    ]
    rows = ["a one 0 1", "b one 0", "c gone 0 1", "d one x 1", "e one 1 1", "f one -1 1", "g one nan 1", "h one 0 1 -1"]
    (data / "segments").write_text("\n".join(rows))
    assert [problem.partition("segments, ")[2] for problem in problems(find_inputs([data]).items)[2:]] == [
        "line 2: expected 'ID RECORDING START END', got 3 fields.",
        "line 3: wav.scp has no usable recording 'gone'.",
        "line 4: expected numbers behind the recording, got 'x 1'.",
        "line 5: the segment's duration (=0.0 s) must be a number > 0.",
        "line 6: the segment's start (=-1.0 s) must be a number >= 0.",
        "line 7: the segment's start (=nan s) must be a number >= 0.",
        "line 8: channel (=-1) must be a number, counted from 0.",
    ]


def test_bytes_that_are_no_utf8_and_strange_spaces_stay_in_names(data: Path) -> None:
    (data / "wav.scp").write_bytes(b"\xef\xbb\xbfb\xe9la data/\xff\xc2\xa0.wav\r\nx\xc2\xa0y data/one.wav\r\n")
    assert [(os.fsencode(item.id), os.fsencode(item.audio)) for item in find_inputs([data]).items] == [
        (b"b\xe9la", b"data/\xff\xc2\xa0.wav"),
        (b"x\xc2\xa0y", b"data/one.wav"),
    ]


def test_a_relative_path_counts_from_here_then_from_the_list(data: Path) -> None:
    (data / "wav.scp").write_text("a one.wav\nb data/one.wav\nc gone.wav\n")
    assert [item.audio for item in find_inputs([data]).items] == ["data/one.wav", "data/one.wav", "gone.wav"]
    Path("one.wav").touch()
    assert find_inputs([data]).items[0].audio == "one.wav"
