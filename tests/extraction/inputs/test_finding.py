"""All kinds of inputs together: order, ids, statements, channels, and what a hundred thousand cost."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechconv.extraction.inputs import find_inputs
from tests.extraction.runs import peak_kibibytes
from tests.sounds import s16, wav_bytes


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def listed(data: bytes, *, null_separated: bool = False) -> list[tuple[str, str]]:
    found = find_inputs(["-"], null_separated=null_separated, stdin=io.BytesIO(data)).items
    assert not [item.problem for item in found if item.problem]
    return [(item.id, item.audio) for item in found]


def test_stdin_lists_a_path_a_line_or_before_each_nul() -> None:
    expected = [("a b/x", "a b/x.wav"), ("y.1", "./y.1.flac"), ("abs/z", "/abs/z.ogg"), ("\udcff", "\udcff.wav")]
    assert listed(b"a b/x.wav\n./y.1.flac\r\n\n/abs/z.ogg\n\xff.wav") == expected
    assert listed(b"a b/x.wav\0./y.1.flac\0/abs/z.ogg\0\xff.wav\0", null_separated=True) == expected
    assert listed(b"\xef\xbb\xbfx.wav\r\n \r\ny.wav\r\n") == [("x", "x.wav"), ("y", "y.wav")]  # as Windows writes it
    assert listed(b"two\nlines.wav\0", null_separated=True) == [("two\nlines", "two\nlines.wav")]


def test_stdin_is_read_once_and_nul_needs_it() -> None:
    found = find_inputs(["-", "-"], stdin=io.BytesIO(b"x.wav\n")).items
    assert [(item.id, item.problem) for item in found] == [
        ("x", None),
        ("-", "stdin was read before; it can be read once."),
    ]
    with pytest.raises(ValueError, match="but '-' is not among the inputs"):
        find_inputs(["x.wav"], null_separated=True)
    with pytest.raises(ValueError, match=r"nothing to extract: stdin, line 1: .*, use -0 \(null_separated\)"):
        find_inputs(["-"], stdin=io.BytesIO(b"x.wav\0y.wav\0"))
    with pytest.raises(ValueError, match="nothing to extract: -: the list names no sound"):
        find_inputs(["-"], stdin=io.BytesIO(b"\n"))


def test_everything_keeps_its_place_and_says_how_it_was_read() -> None:
    for name in ("corpus/a.wav", "corpus/b.wav", "one.wav", "two.wav"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    Path("wav.scp").write_text("".join(f"u{number} one.wav\n" for number in range(1234)) + "bad\nu0 two.wav\n")
    found = find_inputs(["one.wav", "wav.scp", "corpus", "-", "two.wav", "c*/*.wav"], stdin=io.BytesIO(b"three.wav\n"))
    assert [item.id for item in found.items if item.problem is None] == [
        "one", *(f"u{number}" for number in range(1234)), "a", "b", "three", "two"
    ]  # fmt: skip
    assert [item.id for item in found.items if item.problem] == ["wav.scp:1235", "u0", "corpus/a", "corpus/b"]
    assert found.statements == [
        "wav.scp: Kaldi wav.scp, 1,235 sounds, 1 line that cannot be used",
        "corpus: folder, 2 sounds",
        "stdin: list of paths, 1 sound",
        "c*/*.wav: glob, 2 sounds",
        "2 named files",
    ]


def test_a_listed_id_may_meet_a_files_and_the_first_wins() -> None:
    Path("x.wav").touch()
    Path("list.csv").write_text("id,path\nx,y.wav\nx,z.wav\n")
    found = find_inputs(["list.csv", "x.wav"]).items
    assert [(item.audio, item.problem and item.problem[:34]) for item in found] == [
        ("y.wav", None),
        ("z.wav", "has the id 'x', as y.wav before it"),
        ("x.wav", "has the id 'x', as y.wav before it"),
    ]


def test_where_nothing_can_be_used_the_first_reasons_are_told() -> None:
    Path("wav.scp").write_text("alone\n" * 100)
    with pytest.raises(ValueError, match=r"nothing to extract: wav.scp, line 1: expected .* \.\.\. and 95 more\."):
        find_inputs(["wav.scp"])


def test_each_channel_is_an_input_by_the_header() -> None:
    soundfile.write("two.flac", np.zeros((8000, 2)), 8000)
    Path("cut.wav").write_bytes(wav_bytes(s16(np.zeros((8000, 3))), channels=3)[:30_000])
    Path("bad.wav").write_bytes(b"no sound")
    Path("wav.scp").write_text("pipe cat two.flac |\nmono two.flac\ncut cut.wav\nbad bad.wav\n")
    Path("segments").write_text(
        "s1 mono 0 0.5\ns2 mono 0.5 1\ns3 mono 0 1 1\ns4 pipe 0.5 1\ns5 cut 0 0.1\ns6 bad 0 1\n"
    )
    found = find_inputs(["wav.scp", "two.flac"], allow_commands=True, each_channel=True).items
    assert [(item.id, item.start, item.channel) for item in found] == [
        ("s1_ch0", 0.0, 0), ("s1_ch1", 0.0, 1), ("s2_ch0", 0.5, 0), ("s2_ch1", 0.5, 1), ("s3", 0.0, 1),
        ("s4_ch0", 0.5, 0), ("s4_ch1", 0.5, 1), ("s5_ch0", 0.0, 0), ("s5_ch1", 0.0, 1), ("s5_ch2", 0.0, 2),
        ("s6", 0.0, None), ("two_ch0", 0.0, 0), ("two_ch1", 0.0, 1),
    ]  # fmt: skip


def test_a_segment_outside_its_sound_leaves_the_channels_of_the_next() -> None:
    soundfile.write("two.flac", np.zeros((8000, 2)), 8000)
    Path("wav.scp").write_text("two two.flac\n")
    Path("segments").write_text("s1 two 0.9 5\ns2 two 0.5 1\ns3 two 2 3\ns4 two 0 0.5\n")
    found = find_inputs(["wav.scp"], each_channel=True).items
    assert [item.id for item in found] == ["s1", "s2_ch0", "s2_ch1", "s3_ch0", "s3_ch1", "s4_ch0", "s4_ch1"]


def test_a_file_may_end_or_forbid_what_it_likes() -> None:
    Path("x.wav").touch()
    Path("list.jsonl").symlink_to("list.jsonl")
    Path("empty.scp").touch()
    Path("deep.csv").mkdir()
    found = find_inputs(["x.wav", "list.jsonl", "empty.scp", "deep.csv"]).items
    assert [(item.id, item.problem) for item in found] == [
        ("x", None),
        ("list", None),  # a link in a circle: opening it says so
        ("empty.scp", "the list names no sound."),
        ("deep", "the folder holds no wav, flac, ogg or mp3 file."),
    ]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="counts memory by Linux's figures")
def test_a_hundred_thousand_listed_sounds_cost_less_than_100_mb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # the program below imports from where the tests were started
    with open(tmp_path / "wav.scp", "w") as file:
        file.writelines(f"speaker-utterance{n:07} {tmp_path}/audio/{n:07}.wav\n" for n in range(100_000))
    with open(tmp_path / "segments", "w") as file:
        file.writelines(f"s{n:07} speaker-utterance{n:07} {n / 7:.3f} {n / 7 + 1:.3f}\n" for n in range(100_000))
    (tmp_path / "one.wav").touch()
    program = "from speechconv.extraction.inputs import find_inputs; found = find_inputs(sys.argv[1:2]).items"
    large = peak_kibibytes(f"{program}\nassert len(found) == 100_000", tmp_path / "wav.scp")
    assert large - peak_kibibytes(program, tmp_path / "one.wav") < 100_000
