"""Feature files are whole or not there; reports hold whole lines."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest

from speechconv.extraction.resume import forget_earlier_run
from speechconv.stores.feature_file import FeatureFile, remove_temporaries
from speechconv.stores.manifest import ErrorLine, JsonLines, encode_line
from tests.runs.folders import line as manifest_line

ROWS = np.random.default_rng(0).standard_normal((1000, 3)).astype(np.float32)


@pytest.mark.parametrize("count", [0, 1, 1000])
def test_a_file_written_in_pieces_is_byte_for_byte_what_numpy_saves(tmp_path: Path, count: int) -> None:
    with FeatureFile(tmp_path / "a" / "x.npy", 3) as features:
        for start in range(0, count, 7):
            features.append(ROWS[start : min(start + 7, count)])
        digest = features.commit()
    expected = io.BytesIO()
    np.save(expected, ROWS[:count])
    assert (tmp_path / "a" / "x.npy").read_bytes() == expected.getvalue()
    assert hashlib.sha256(ROWS[:count].tobytes()).hexdigest() == digest
    assert os.listdir(tmp_path / "a") == ["x.npy"]


def test_nothing_has_the_name_before_all_of_it_is_there(tmp_path: Path) -> None:
    with FeatureFile(tmp_path / "x.npy", 3) as features:
        features.append(ROWS)
        features.append(ROWS)
        assert [name.endswith(".npy") for name in os.listdir(tmp_path)] == [False]
        features.commit()
    assert np.load(tmp_path / "x.npy").shape == (2000, 3)


def test_without_a_commit_nothing_is_left(tmp_path: Path) -> None:
    with FeatureFile(tmp_path / "x.npy", 3) as features:
        features.append(ROWS)
        features.append(ROWS)
        assert len(os.listdir(tmp_path)) == 1
    assert os.listdir(tmp_path) == []


def test_rows_of_another_width_are_refused(tmp_path: Path) -> None:
    with FeatureFile(tmp_path / "x.npy", 4) as features, pytest.raises(ValueError, match=r"\(n, 4\), got \(1000, 3\)"):
        features.append(ROWS)


def test_features_are_readable_by_others_as_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    with FeatureFile(tmp_path / "x.npy", 3) as features:
        features.commit()
    assert (tmp_path / "x.npy").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_left_over_temporaries_are_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in ("a/.speechconv-77.tmp", ".speechconv-1.tmp", "a/x.npy", ".hidden.tmp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    remove_temporaries(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [".hidden.tmp", "x.npy"]


def test_a_line_that_the_disk_takes_half_of_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = ErrorLine("x", "x.wav", "open", "OSError", "of no account, with ü and \n in it")
    write = os.write

    def fill_up(descriptor: int, data: bytes) -> int:
        monkeypatch.setattr(os, "write", refuse)
        return write(descriptor, data[:10])

    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with JsonLines(tmp_path / "errors.jsonl") as report:
        report.append(line)
        monkeypatch.setattr(os, "write", fill_up)
        with pytest.raises(OSError, match="No space left"):
            report.append(line)
    (text,) = (tmp_path / "errors.jsonl").read_text("utf-8").splitlines()
    assert json.loads(text)["message"] == line.message


def test_forgetting_a_run_deletes_what_its_manifest_names_and_nothing_outside(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for path in (out / "x.npy", out / "kept.npy", out / "run.txt", tmp_path / "outside.npy"):
        path.touch()
    named = ["x.npy", "gone.npy", "run.txt", "../outside.npy", str(tmp_path / "outside.npy")]
    (out / "manifest.jsonl").write_bytes(b"".join(encode_line(manifest_line(id=path, path=path)) for path in named))
    forget_earlier_run(out)
    assert sorted(os.listdir(out)) == ["kept.npy", "run.txt"]
    assert (tmp_path / "outside.npy").exists()


@pytest.mark.parametrize("text", ["{}\n", "7\n", "no JSON\n", '{"path": "x.npy"}\n'])
def test_another_programs_manifest_is_not_touched(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.jsonl").write_text(text)
    with pytest.raises(ValueError, match=r"manifest.jsonl, line 1 is not a line that speechconv wrote"):
        forget_earlier_run(tmp_path)
    assert (tmp_path / "manifest.jsonl").read_text() == text
