"""CSV and TSV with a column of paths; pandas-like writers (the csv module) and Common Voice's own shape."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from speechconv.extraction.inputs import Input, find_inputs


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("cv/clips").mkdir(parents=True)
    Path("cv/clips/en_1.mp3").touch()


def problems(text: str, name: str = "list.csv") -> list[str]:
    Path(name).write_text(text)
    found = find_inputs([name]).items
    assert found[0].problem is None
    return [str(item.problem).partition(", line ")[2] for item in found[1:]]


def test_common_voice_is_found_in_its_clips_and_quotes_swallow_nothing() -> None:
    rows = ["client_id\tpath\tsentence", '1\ten_1.mp3\t"Never, he said', "2\ten_2.mp3\tYes."]
    Path("cv/train.tsv").write_text("\n".join(rows))
    found = find_inputs(["cv/train.tsv"])
    assert found.items == [Input("en_1", "cv/clips/en_1.mp3"), Input("en_2", "en_2.mp3")]
    assert found.statements == ["cv/train.tsv: table, columns separated by tab, 2 sounds"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("name", ["list.csv", "list"])
def test_columns_are_found_by_their_names_in_any_case_and_order(delimiter: str, name: str) -> None:
    header = ["text", "ID", "Start", "end", "channel", "Wav"]
    rows = [["a, b", "one", "0.5", "2.0", "1", "x y.wav"], ["", "two", "", "", "", "z.wav"]]
    with open(name, "w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([header, *rows])
    assert find_inputs([name]).items == [Input("one", "x y.wav", 0.5, 1.5, 1), Input("two", "z.wav")]


def test_quoted_fields_may_hold_separators_and_line_endings() -> None:
    with open("list.csv", "w", newline="") as file:
        csv.writer(file).writerows([["path", "text"], ["a,b.wav", 'two\nlines, "quoted"'], ["c.wav", ""]])
    assert [item.audio for item in find_inputs(["list.csv"]).items] == ["a,b.wav", "c.wav"]


def test_a_single_column_and_a_duration_without_an_id() -> None:
    Path("list.csv").write_text("file\na.wav\n")
    assert find_inputs(["list.csv"]).items == [Input("a", "a.wav")]
    Path("list.csv").write_text("file_name,start,duration\na.wav,1,2\na.wav,,2\n")
    assert find_inputs(["list.csv"]).items == [Input("a-1000-3000", "a.wav", 1.0, 2.0), Input("a", "a.wav", 0.0, 2.0)]


def test_a_row_that_cannot_be_used_is_a_problem_with_its_line() -> None:
    rows = [
        "id,path,start,end,channel",
        "a,a.wav,,,",
        "b,b.wav,x,,",
        "c",
        ",d.wav,,,",
        "",
        "e,e.wav,2,1,",
        "f,f.wav,,,-1",
    ]
    assert problems("\n".join(rows)) == [
        "3: start (='x') must be a number of seconds.",
        "4: the row names no sound.",
        "5: the id is empty.",
        "7: the segment's duration (=-1.0 s) must be a number > 0.",
        "8: channel (='-1') must be a number, counted from 0.",
    ]


def test_a_table_without_a_column_of_paths_says_what_is_expected() -> None:
    Path("list.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="header 'a,b' has no column of paths; expected one of path, audio, "):
        find_inputs(["list.csv"])


def test_bytes_that_are_no_utf8_stay_in_names() -> None:
    Path("list.csv").write_bytes(b"id,path\n\xe9,\xff.wav\n")
    assert find_inputs(["list.csv"]).items == [Input("\udce9", "\udcff.wav")]
