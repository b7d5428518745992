"""Which sounds are found, in which order, under which id."""

from __future__ import annotations

from pathlib import Path

import pytest

from speechconv.extraction.inputs import find_inputs
from tests.extraction.runs import forbid


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder "corpus" in the working directory."""
    monkeypatch.chdir(tmp_path)
    names = ["b/x.wav", "a/y.FLAC", "a/x.wav", "a/deep/z.ogg", "m.mp3", "notes.txt", "a/._x.wav", ".git/x.wav"]
    for name in names:
        path = tmp_path / "corpus" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return Path("corpus")


def ids(*named: str | Path) -> list[str]:
    found = find_inputs(named).items
    assert not [item.problem for item in found if item.problem]
    return [item.id for item in found]


def problems(*named: str | Path) -> dict[str, str]:
    return {item.audio: item.problem for item in find_inputs(named).items if item.problem}


def test_a_folder_gives_its_sounds_sorted_and_leaves_hidden_files_out(corpus: Path) -> None:
    assert ids(corpus) == ids(f"{corpus}/") == ["a/deep/z", "a/x", "a/y", "b/x", "m"]
    assert [item.audio for item in find_inputs([corpus]).items][1] == "corpus/a/x.wav"


def test_a_glob_counts_from_its_part_without_wildcards(corpus: Path) -> None:
    assert ids("corpus/*/x.wav") == ["a/x", "b/x"]
    assert ids("corpus/a/*") == ["x", "y"]
    assert ids("corpus/**") == ids("corpus/**/*") == ids(corpus)
    assert ids("*/m.mp3") == ["corpus/m"]
    assert ids(str(corpus.absolute() / "a" / "[x]*")) == ["x"]


def test_a_file_is_called_by_its_name_whatever_its_extension(corpus: Path) -> None:
    assert ids("corpus/a/x.wav", "corpus/notes.txt") == ["x", "notes"]


def test_a_name_with_wildcards_that_exists_is_that_file(corpus: Path) -> None:
    (corpus / "take[1].wav").touch()
    assert ids("corpus/take[1].wav") == ["take[1]"]


def test_sounds_of_the_same_id_all_keep_their_extensions(corpus: Path) -> None:
    for name in ("a/x.flac", "a/x.ogg"):
        (corpus / name).touch()
    assert ids(corpus) == ["a/deep/z", "a/x.flac", "a/x.ogg", "a/x.wav", "a/y", "b/x", "m"]


def test_of_inputs_with_the_same_id_the_first_wins(corpus: Path) -> None:
    assert problems("corpus/b/x.wav", "corpus/a/x.wav") == {
        "corpus/a/x.wav": "has the id 'x', as corpus/b/x.wav before it; give it another id, or extract it into "
        "another folder."
    }


def test_an_id_with_its_extension_may_meet_an_id_without(corpus: Path) -> None:
    for name in ("a/x.flac", "a/x.wav.wav"):
        (corpus / name).touch()
    found = problems(corpus / "a")
    assert list(found) == ["corpus/a/x.wav.wav"]


def test_a_file_named_twice_is_extracted_once(corpus: Path) -> None:
    found = find_inputs([corpus, "corpus/../corpus/a/x.wav"]).items
    assert [item.audio for item in found if item.problem] == ["corpus/../corpus/a/x.wav"]
    assert "named before" in str(found[-1].problem)


def test_what_is_not_there_keeps_its_place_among_the_others(corpus: Path) -> None:
    (corpus / "empty").mkdir()
    found = find_inputs(["corpus/nope.wav", "corpus/m.mp3", "corpus/empty", "corpus/*.ogg", "corpus/notes.*"]).items
    assert [(item.id, item.problem) for item in found] == [
        ("nope", "no such file or folder."),
        ("m", None),
        ("empty", "the folder holds no wav, flac, ogg or mp3 file."),
        ("*", "no wav, flac, ogg or mp3 file matches."),
        ("notes", "no wav, flac, ogg or mp3 file matches."),
    ]


def test_a_folder_that_cannot_be_read_keeps_its_place_too(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (corpus / "a.1").mkdir()
    for name in ("a.1", "a/deep"):
        forbid(corpus / name, monkeypatch)
    found = [(item.id, item.stage if item.problem else None) for item in find_inputs([corpus]).items]
    assert found == [("a.1", "open"), ("a/deep", "open"), ("a/x", None), ("a/y", None), ("b/x", None), ("m", None)]
    forbid(corpus, monkeypatch)
    (item,) = [item for item in find_inputs([corpus, "corpus/m.mp3"]).items if item.problem]
    assert (item.id, item.problem) == ("corpus", "the folder cannot be opened: Permission denied.")


def test_nothing_at_all_is_an_error_that_says_why(corpus: Path) -> None:
    with pytest.raises(ValueError, match=r"nothing to extract: corpus/a/\*\.mp3: no wav.*; gone: no such file"):
        find_inputs([f"{corpus}/a/*.mp3", "gone"])
    with pytest.raises(ValueError, match="nothing to extract: no input was named"):
        find_inputs([])


def test_a_glob_may_not_lead_out_of_its_folder(corpus: Path) -> None:
    Path("outside.wav").touch()
    with pytest.raises(ValueError, match="leads out of corpus"):
        find_inputs([f"{corpus}/*/../../*.wav"])


def test_linked_folders_are_followed_but_not_in_circles(corpus: Path) -> None:
    Path("elsewhere").mkdir()
    Path("elsewhere/far.wav").touch()
    (corpus / "link").symlink_to(Path("elsewhere").absolute())
    (corpus / "a" / "circle").symlink_to(corpus.absolute())
    assert ids(corpus) == ["a/deep/z", "a/x", "a/y", "b/x", "link/far", "m"]
