"""JSON manifests: NeMo's reader is the judge of which seconds are meant."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from speechconv.extraction.inputs import Input, find_inputs


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data/clips").mkdir(parents=True)
    Path("data/clips/x.wav").touch()
    Path("far.wav").touch()


def manifest(*entries: Any, name: str = "data/train.json") -> str:
    lines = [entry if isinstance(entry, str) else json.dumps(entry) for entry in entries]
    Path(name).write_text("\n".join(lines) + "\n")
    return name


def only_problem(entry: Any) -> str:
    found = find_inputs([manifest({"audio_filepath": "far.wav"}, entry)]).items
    assert found[0].problem is None
    assert found[1].problem
    assert found[1].problem.startswith("data/train.json, line 2: ")
    return found[1].problem.partition("line 2: ")[2]


def test_nemos_keys_are_read_and_a_path_counts_from_the_manifest(tmp_path: Path) -> None:
    Path("clips").mkdir()
    Path("clips/x.wav").touch()
    found = find_inputs(
        [
            manifest(
                {"audio_filepath": "clips/x.wav", "duration": 2.5, "text": "hello"},
                {"audio_filepath": "clips/x.wav", "offset": 1.25, "duration": 2.5},
                {"audio_filepath": "clips/x.wav", "offset": 0, "duration": 0.5},
                {"audio_filepath": "far.wav", "offset": 3},
                {"audio_filepath": f"{tmp_path}/far.wav"},
            )
        ]
    )
    assert found.items == [
        Input("clips/x", "data/clips/x.wav", 0.0, 2.5),
        Input("clips/x-1250-3750", "data/clips/x.wav", 1.25, 2.5),
        Input("clips/x-0-500", "data/clips/x.wav", 0.0, 0.5),
        Input("far-3000-end", "far.wav", 3.0, None),
        Input(f"{tmp_path}/far"[1:], f"{tmp_path}/far.wav"),
    ]
    assert found.statements == ["data/train.json: JSON lines, 5 sounds"]


def test_ids_and_other_keys_are_kept_as_told() -> None:
    name = manifest(
        {"id": "a b/../c", "audio": {"path": "far.wav", "bytes": None}, "channel": 1},
        {"utt_id": "x\n", "path": "far.wav", "start": 1},
        name="list.jsonl",
    )
    assert find_inputs([name]).items == [
        Input("a b/../c", "far.wav", channel=1),
        Input("x\n", "far.wav", 1.0),
    ]


def test_an_end_stands_for_a_duration_and_null_for_nothing() -> None:
    name = manifest(
        {"audio_filepath": None, "path": "far.wav", "start": 0.5, "end": 2, "duration": None},
        {"audio_filepath": "far.wav", "end": 3},
        {"audio_filepath": "far.wav", "id": "x", "offset": 1, "duration": 0.25, "end": 9},
    )
    assert find_inputs([name]).items == [
        Input("far-500-2000", "far.wav", 0.5, 1.5),
        Input("far", "far.wav", 0.0, 3.0),
        Input("x", "far.wav", 1.0, 0.25),
    ]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("{", "is not JSON: "),
        ("[1]", "expected a JSON object, got list."),
        ({"text": "x"}, "expected the path of a sound under 'audio_filepath'"),
        ({"audio_filepath": 3}, "expected the path of a sound"),
        ({"audio_filepath": ""}, "the path of the sound is empty."),
        ({"audio_filepath": "a", "id": ""}, "the id is empty."),
        ({"audio_filepath": "a", "id": 12}, "the id (=12) must be a string."),
        ({"audio_filepath": "a", "id": "\ud800"}, "the id (='\\ud800') holds half a surrogate pair"),
        ({"audio_filepath": "a", "offset": "1"}, "offset (='1') must be a number."),
        ({"audio_filepath": "a", "offset": True}, "offset (=True) must be a number."),
        ({"audio_filepath": "a", "duration": 0}, "the segment's duration (=0.0 s) must be a number > 0."),
        ('{"audio_filepath": "a", "offset": NaN}', "the segment's start (=nan s) must be a number >= 0."),
        (
            {"audio_filepath": "a", "offset": 1e306},
            "the segment's start (=1e+306 s) must be a number >= 0 and <= 1e+09.",
        ),
        ({"audio_filepath": "a", "start": 2, "end": 1}, "the segment's duration (=-1.0 s) must be a number > 0."),
        ({"audio_filepath": "a", "offset": 10**400}, "offset is a number beyond all seconds."),
        ({"audio_filepath": "a", "channel": 1.5}, "channel (=1.5) must be a number, counted from 0."),
    ],
)
def test_a_line_that_cannot_be_used_says_why(entry: Any, words: str) -> None:
    assert only_problem(entry).startswith(words)


def test_json_that_is_nested_too_deeply_is_no_crash() -> None:
    assert only_problem("[" * 100_000) == "the JSON is nested too deeply."


def test_bad_lines_first_do_not_hide_what_the_list_is() -> None:
    name = manifest("nonsense", {"audio_filepath": "far.wav"}, name="list.jsonl")
    assert [item.id for item in find_inputs([name]).items] == ["list.jsonl:1", "far"]


def test_a_gzipped_list_is_read_up_to_where_it_is_damaged() -> None:
    whole = gzip.compress(b"".join(b'{"audio_filepath": "%d.wav"}\n' % number for number in range(50_000)), 1)
    Path("whole.jsonl.gz").write_bytes(whole)
    assert len(find_inputs(["whole.jsonl.gz"]).items) == 50_000
    Path("cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    *good, bad = find_inputs(["cut.jsonl.gz"]).items
    assert len(good) > 10_000
    assert [item.id for item in good] == [str(number) for number in range(len(good))]
    assert "the list is damaged behind line" in str(bad.problem)


@pytest.mark.parametrize("name", ["list.jsonl.gz", "list.csv.gz", "list.gz"])
@pytest.mark.parametrize("at", [3, 10, -6], ids=["header", "content", "checksum"])
def test_a_list_that_cannot_be_unpacked_says_so(name: str, at: int) -> None:
    packed = bytearray(gzip.compress(b'{"audio_filepath": "far.wav"}\n' * 50))
    packed[at] ^= 0xFF
    Path(name).write_bytes(packed)
    *_, bad, good = find_inputs([name, "data/clips/x.wav"]).items
    assert "the list is damaged behind line" in str(bad.problem)
    assert good.problem is None


def test_a_json_array_and_bare_text_are_refused_in_words() -> None:
    Path("array.json").write_text('[{"audio_filepath": "far.wav"}]')
    Path("list.txt").write_text("far.wav\n")
    Path("none.jsonl").touch()
    array, text, empty, _ = find_inputs(["array.json", "list.txt", "none.jsonl", "far.wav"]).items
    assert array.problem == "is a JSON array; expected a JSON object a line (.jsonl)."
    assert (
        text.problem == "is text, not a sound; if it has a path a line, give it on stdin: speechconv extract - < FILE."
    )
    assert empty.problem == "the list names no sound."
