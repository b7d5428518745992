"""Global statistics against numpy over all frames at once, and their files against Kaldi's readers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import kaldi_native_io
import kaldiio
import numpy as np
import pytest

from speechconv.cli import main
from speechconv.stores import statistics
from speechconv.stores.statistics import FeatureStatistics, feature_statistics
from tests.runs.folders import features, line, stored, write_run

ARRAYS = [features(seed, frames) for seed, frames in enumerate((50, 1, 0, 333, 20))]
EVERYTHING = np.concatenate(ARRAYS).astype(np.float64)


def run_of(folder: Path, arrays: list[np.ndarray] = ARRAYS, **fields: Any) -> Path:
    lines = [stored(folder, f"utt {number}", array, **fields) for number, array in enumerate(arrays)]
    return write_run(folder, lines)


def assert_are(found: FeatureStatistics, frames: np.ndarray, tolerance: float = 1e-12) -> None:
    assert found.count == len(frames)
    np.testing.assert_allclose(found.mean, frames.mean(0), rtol=tolerance)
    np.testing.assert_allclose(found.variance, frames.var(0), rtol=tolerance)


@pytest.mark.parametrize("block", [3, 30, 1 << 18])
def test_statistics_of_a_folder_are_numpys_over_all_its_frames(
    tmp_path: Path, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "BLOCK", block)
    found = feature_statistics(run_of(tmp_path))
    assert_are(found, EVERYTHING)
    assert found.recipes == ("r1",)


def test_an_offset_costs_no_digits(tmp_path: Path) -> None:
    far = [(1e4 + array).astype(np.float32) for array in ARRAYS]
    assert_are(feature_statistics(run_of(tmp_path, far)), np.concatenate(far).astype(np.float64))


def test_half_precision_features_are_summed_in_float64(tmp_path: Path) -> None:
    stored_as = EVERYTHING.astype(np.float16).astype(np.float64)
    assert_are(feature_statistics(run_of(tmp_path, dtype="float16")), stored_as)


def test_shards_and_files_of_statistics_merge_into_what_one_pass_gives(tmp_path: Path) -> None:
    whole = feature_statistics(run_of(tmp_path / "all"))
    first, second, third = (
        run_of(tmp_path / name, part) for name, part in zip("abc", (ARRAYS[:1], ARRAYS[1:3], ARRAYS[3:]), strict=True)
    )
    for number, folder in enumerate((first, second)):
        feature_statistics(folder).save(tmp_path / f"{number}.json")
    merged = feature_statistics(tmp_path / "0.json", tmp_path / "1.json", third)
    assert merged.count == whole.count
    np.testing.assert_allclose(merged.mean, whole.mean, rtol=1e-12)
    np.testing.assert_allclose(merged.variance, whole.variance, rtol=1e-12)


def test_the_same_folder_gives_the_same_bytes_and_json_keeps_every_bit(tmp_path: Path) -> None:
    folder = run_of(tmp_path / "run")
    for name in ("a.json", "b.json"):
        feature_statistics(folder).save(tmp_path / name)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    whole, again = feature_statistics(folder), FeatureStatistics.load(tmp_path / "a.json")
    assert again.mean.tobytes() == whole.mean.tobytes()
    assert again.variance.tobytes() == whole.variance.tobytes()
    assert (again.count, again.recipes) == (whole.count, whole.recipes)
    assert json.loads((tmp_path / "a.json").read_text())["channels"] == 3


@pytest.mark.parametrize("name", ["cmvn.ark", "cmvn.stats", "cmvn.mat", "cmvn.txt"])
def test_kaldis_readers_find_sums_squares_and_the_count(tmp_path: Path, name: str) -> None:
    feature_statistics(run_of(tmp_path / "run")).save(tmp_path / name)
    expected = np.zeros((2, 4))
    expected[0] = [*EVERYTHING.sum(0), len(EVERYTHING)]
    expected[1, :3] = np.square(EVERYTHING).sum(0)
    tolerance = 1e-7 if name == "cmvn.txt" else 1e-12  # kaldiio reads text into float32
    np.testing.assert_allclose(np.asarray(kaldiio.load_mat(str(tmp_path / name))), expected, rtol=tolerance)
    if name != "cmvn.txt":  # kaldi_native_io reads binary alone where a matrix stands by itself
        native = kaldi_native_io.DoubleMatrix.read(str(tmp_path / name)).numpy()
        np.testing.assert_allclose(native, expected, rtol=1e-12)
    assert_are(FeatureStatistics.load(tmp_path / name), EVERYTHING)


def test_what_kaldi_writes_is_read(tmp_path: Path) -> None:
    sums = np.zeros((2, 4))
    sums[0] = [*EVERYTHING.sum(0), len(EVERYTHING)]
    sums[1, :3] = np.square(EVERYTHING).sum(0)
    kaldi_native_io.DoubleMatrix(sums).write(str(tmp_path / "double.ark"), binary=True)
    kaldi_native_io.FloatMatrix(sums.astype(np.float32)).write(str(tmp_path / "float.ark"), binary=True)
    kaldi_native_io.DoubleMatrix(sums).write(str(tmp_path / "text"), binary=False)
    kaldiio.save_mat(str(tmp_path / "other.ark"), sums)
    assert_are(FeatureStatistics.load(tmp_path / "double.ark"), EVERYTHING)
    assert_are(FeatureStatistics.load(tmp_path / "other.ark"), EVERYTHING)
    assert_are(FeatureStatistics.load(tmp_path / "text"), EVERYTHING, 1e-5)  # as many digits as Kaldi prints
    assert_are(FeatureStatistics.load(tmp_path / "float.ark"), EVERYTHING, 1e-5)  # sums of float32, in float32


def test_rounding_of_kaldis_sums_gives_no_negative_variance(tmp_path: Path) -> None:
    constant = np.full(3001, 0.1)
    sums = np.array([[constant.sum(), 3001], [np.square(constant).sum() * (1 - 1e-12), 0]])
    kaldiio.save_mat(str(tmp_path / "cmvn.ark"), sums)
    assert FeatureStatistics.load(tmp_path / "cmvn.ark").variance == [0]


def test_statistics_of_other_channels_are_not_merged(tmp_path: Path) -> None:
    run_of(tmp_path / "a")
    run_of(tmp_path / "b", [features(0, 5, channels=4)])
    with pytest.raises(ValueError, match="of 3 channels cannot be merged with those of 4"):
        feature_statistics(tmp_path / "a", tmp_path / "b")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_is_refused_by_the_name_of_its_utterance(tmp_path: Path, bad: float) -> None:
    array = features(0, 5)
    array[3, 1] = bad
    with pytest.raises(ValueError, match=r"the features of 'utt 1' in .* hold NaN or infinite values"):
        feature_statistics(run_of(tmp_path, [ARRAYS[0], array]))


def test_features_that_are_gone_or_are_not_as_their_line_says_are_refused(tmp_path: Path) -> None:
    run_of(tmp_path / "run")
    (tmp_path / "run" / "utt 1.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"no features of 'utt 1': .* is missing"):
        feature_statistics(tmp_path / "run")
    np.save(tmp_path / "run" / "utt 1.npy", features(0, 2))
    with pytest.raises(ValueError, match=r"'utt 1': in .*, utt 1\.npy holds 2 x 3 .*, the manifest says 1 x 3 float32"):
        feature_statistics(tmp_path / "run")


def test_a_folder_without_a_frame_has_no_statistics(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is not one frame"):
        feature_statistics(run_of(tmp_path, ARRAYS[2:3]))


def test_a_folder_without_a_manifest_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no manifest\.jsonl; expected a folder"):
        feature_statistics(tmp_path)
    (tmp_path / "shard-0001-of-0002").mkdir()
    with pytest.raises(FileNotFoundError, match=r"`speechconv merge .*` makes it from the shards"):
        feature_statistics(tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "begins neither with"),
        (b"{}", "mean"),
        (b'{"count": 3, "channels": 2, "mean": [1], "variance": [1], "recipes": []}', "2 channels, but 1 means"),
        (b'{"count": 0, "channels": 1, "mean": [1], "variance": [1], "recipes": []}', "count below 1"),
        (b'{"count": 3, "channels": 1, "mean": [1], "variance": [-1], "recipes": []}', "negative variance"),
        (b'{"count": 3, "channels": 1, "mean": [NaN], "variance": [1], "recipes": []}', "not finite"),
        (b"[ 1 2 3 ]", r"a matrix of \(1, 3\)"),
        (b"[ 1 2\n 3 0\n 3 3 ]", r"a matrix of \(3, 2\)"),
        (b"[ 1 0\n 3 0 ]", "a count of 0 frames"),
        (b"[ 1 inf\n 3 0 ]", "infinity"),
        (b'{"count": Infinity, "channels": 1, "mean": [1], "variance": [1], "recipes": []}', "infinity"),
        (b"\0BFV \4\3\0\0\0", "not a float or double matrix"),
        (b"\0BDM \4\2\0\0\0\4\2\0\0\0123", "damaged"),
        (b"\0BDM \4\2", "unpack"),
    ],
)
def test_a_file_that_holds_no_statistics_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "stats").write_bytes(content)
    with pytest.raises(ValueError, match=f"holds no statistics of features .*{words}"):
        FeatureStatistics.load(tmp_path / "stats")


def test_the_command_writes_what_the_function_gives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run_of(tmp_path / "run")
    assert main(["stats", str(folder), "-o", str(tmp_path / "stats.json")]) == 0
    assert capsys.readouterr() == (f"{tmp_path / 'stats.json'}: 404 frames of 3 channels\n", "")
    feature_statistics(folder).save(tmp_path / "same.json")
    assert (tmp_path / "stats.json").read_bytes() == (tmp_path / "same.json").read_bytes()
    other = write_run(tmp_path / "other", [stored(tmp_path / "other", "x", ARRAYS[0], recipe="r2")])
    assert main(["stats", str(tmp_path / "stats.json"), str(other), "-o", str(tmp_path / "all.json")]) == 0
    assert "2 different recipes" in capsys.readouterr().err
    assert json.loads((tmp_path / "all.json").read_text())["recipes"] == ["r1", "r2"]


def test_the_command_tells_of_wrong_paths_before_the_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "run", [line()])  # its features are not there: reading them would fail otherwise
    for output, words in (("stats.npz", ".json, .ark"), ("nowhere/stats.json", "no folder")):
        assert main(["stats", str(tmp_path / "run"), "-o", str(tmp_path / output)]) == 2
        assert words in capsys.readouterr().err
    assert main(["stats", str(tmp_path / "none.json"), "-o", str(tmp_path / "stats.json")]) == 2
    assert "no file of statistics at" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]
