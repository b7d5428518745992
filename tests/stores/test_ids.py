"""Any id has a file name of its own, and a name gives its id back."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechconv.stores.ids import TEMPORARY, decode, file_name
from speechconv.stores.webdataset_tar import tar_key
from tests.stores.corpora import BITING_IDS

PIECES = st.sampled_from([".", "..", "/", "%", ".npy", TEMPORARY, "a", "é", " ", "\n", "\udcff", "+", "x" * 120])
IDS = st.lists(PIECES, min_size=1, max_size=12).map("".join)


@given(IDS)
def test_a_name_gives_its_id_back_and_leads_nowhere_else(id: str) -> None:
    name = file_name(id, ".npy")
    parts = name.split("/")
    assert decode(name.removesuffix(".npy")) == id
    assert not {"", ".", ".."} & set(parts)
    assert not any(part.startswith(TEMPORARY) or part.endswith(".npy") for part in parts[:-1])
    assert not parts[-1].startswith(TEMPORARY)
    assert max(len(os.fsencode(part)) for part in parts) <= 255


@given(st.sets(IDS, min_size=2, max_size=6))
def test_no_two_ids_share_a_name_and_no_name_is_anothers_folder(ids: set[str]) -> None:
    names = {PurePosixPath(file_name(id, ".npy")) for id in ids}
    assert len(names) == len(ids)
    assert not names & {folder for name in names for folder in name.parents}


def test_every_biting_id_is_a_file_on_this_disk(tmp_path: Path) -> None:
    for id in BITING_IDS:
        path = tmp_path / file_name(id, ".npy")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.fsencode(id))
    found = {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {file_name(id, ".npy"): os.fsencode(id) for id in BITING_IDS}


@pytest.mark.parametrize(
    ("id", "name"),
    [("spk/utt.1", "spk/utt.1"), ("a/", "a%2F"), ("a//b", "a/%2Fb"), ("/a", "%2Fa"), ("a b", "a b"), ("..", "%2E%2E")],
)
def test_an_ordinary_id_is_its_own_name(id: str, name: str) -> None:
    assert file_name(id, ".npy") == f"{name}.npy"


@given(IDS)
def test_a_tar_key_has_no_dot_and_gives_its_id_back(id: str) -> None:
    assert "." not in tar_key(id)
    assert decode(tar_key(id)) == id
