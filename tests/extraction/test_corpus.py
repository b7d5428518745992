"""Many short files, into every store and around a ring of all stores: complete, checked, resumed, bit-exact.

SPEECHCONV_CORPUS=N makes it N files (default 150), for `make slow`.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import speechconv as sc
from speechconv.stores.registry import STORES
from tests.extraction.runs import json_lines
from tests.sounds import wav_bytes

FILES = int(os.environ.get("SPEECHCONV_CORPUS", "150"))
SHARD_BYTES = max(200_000, 400 * FILES)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise of 0.05 to 0.3 s, in folders of 1,000."""
    random = np.random.default_rng(0)
    noise = random.integers(-9000, 9000, 20_000, np.int16)
    folder = tmp_path_factory.mktemp("corpus")
    for number in range(FILES):
        place = folder / f"{number // 1000:03d}"
        place.mkdir(exist_ok=True)
        start, length = random.integers(0, 15_000), random.integers(800, 4800)
        (place / f"{number:06d}.wav").write_bytes(wav_bytes(noise[start : start + length].tobytes()))
    return folder


@pytest.fixture(scope="module")
def expected(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """sha256 of all features, as one process makes them one by one."""
    out = tmp_path_factory.mktemp("serial")
    sc.extract(corpus, out=out, overrides={"mel.n_mels": 20})
    return sha256_of(out)


def sha256_of(out: Path) -> dict[str, str]:
    lines = json_lines(out / "manifest.jsonl")
    found = {line["id"]: line["sha256"] for line in lines}
    assert len(found) == len(lines)
    return found


@pytest.mark.parametrize("store", STORES)
@pytest.mark.usefixtures("forked_workers")
def test_every_store_holds_all_of_it_and_goes_on_from_half(
    corpus: Path, expected: dict[str, str], tmp_path: Path, store: str
) -> None:
    out = tmp_path / "out"
    half = sorted(path for path in corpus.rglob("*.wav"))[::2]
    options = {"overrides": {"mel.n_mels": 20}, "out": out, "store": store, "shard_bytes": SHARD_BYTES}
    (tmp_path / "half.csv").write_text(
        "path,id\n" + "".join(f"{path},{path.relative_to(corpus).with_suffix('')}\n" for path in half)
    )
    assert sc.extract(tmp_path / "half.csv", **options, jobs=2).files_ok == len(half)
    whole = sc.extract(corpus, **options)
    assert (whole.files_ok, whole.files_reused, whole.status) == (FILES, len(half), "finished")
    assert sc.extract(corpus, **options).files_reused == FILES
    assert sha256_of(out) == expected
    result = sc.check(out)
    assert (result.problems, result.items) == ([], FILES)


def test_around_the_ring_of_all_stores_and_back_nothing_changes(
    corpus: Path, expected: dict[str, str], tmp_path: Path
) -> None:
    sc.extract(corpus, out=tmp_path / "0", overrides={"mel.n_mels": 20})
    ring = [*list(STORES)[1:], "npy"]
    for step, store in enumerate(ring):
        sc.convert(tmp_path / str(step), tmp_path / str(step + 1), store=store, shard_bytes=SHARD_BYTES)
        assert sc.check(tmp_path / str(step + 1)).good
    last = tmp_path / str(len(ring))
    assert sha256_of(last) == expected
    for path in (tmp_path / "0").rglob("*.npy"):
        assert (last / path.relative_to(tmp_path / "0")).read_bytes() == path.read_bytes()
