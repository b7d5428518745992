"""A pipeline and its weights in one file, weights that are random, and what the command line opens."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

import speechconv as sc
from speechconv.frontend.stft import Learn
from speechconv.pipeline import open_pipeline
from tests.pipelines import EVERY_STAGE, LEARN, STFT_CONV, assert_same, noise, trained

# One file


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("learn", LEARN)
def test_a_saved_pipeline_loads_with_its_weights_and_their_type(
    tmp_path: Path, learn: Learn | None, dtype: torch.dtype
) -> None:
    pipe = sc.Pipeline.from_toml(STFT_CONV, stft={"learn": "none" if learn is None else learn})
    pipe = trained(pipe).to(dtype)
    pipe.save(tmp_path / "pipe.safetensors")
    assert_same(pipe, sc.Pipeline.load(tmp_path / "pipe.safetensors"))


def test_a_saved_pipeline_of_every_stage_loads_as_it_was(tmp_path: Path) -> None:
    pipe = trained(sc.Pipeline.from_toml(EVERY_STAGE))
    pipe.save(str(tmp_path / "pipe.safetensors"))
    assert_same(pipe, sc.Pipeline.load(str(tmp_path / "pipe.safetensors")))


def test_the_file_is_plain_safetensors_and_nothing_else(tmp_path: Path) -> None:
    """Eight bytes of header length, a JSON header, then the tensors end to end: no room for a pickle."""
    pipe = trained(sc.Pipeline.from_toml(STFT_CONV))
    path = tmp_path / "pipe.safetensors"
    pipe.save(path)
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    metadata = header.pop("__metadata__")
    assert metadata["pipeline"] == pipe.to_toml()
    assert metadata["speechconv"] == sc.__version__
    assert {name: entry["dtype"] for name, entry in header.items()} == {"conv1d.weight": "F32", "conv1d.bias": "F32"}
    assert max(entry["data_offsets"][1] for entry in header.values()) == len(data) - 8 - size

    weights = load_file(path)
    assert torch.equal(weights["conv1d.weight"], pipe.state_dict()["conv1d.weight"])
    with safe_open(path, framework="np") as file:
        assert np.array_equal(file.get_tensor("conv1d.bias"), pipe.state_dict()["conv1d.bias"].numpy())


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"^no pipeline file at .*nothing\.safetensors\.$"):
        sc.Pipeline.load(tmp_path / "nothing.safetensors")


@pytest.mark.parametrize("content", [b"", b"hello, this is no tensor file" * 10, b"\x80\x04K\x01."])
def test_a_file_that_is_not_safetensors_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pipe.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"pipe\.safetensors is not a safetensors file: "):
        sc.Pipeline.load(path)


def test_someone_elses_safetensors_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "pipe.safetensors"
    save_file({"weight": torch.ones(2)}, path)
    message = r"pipe\.safetensors holds weights but no pipeline; expected a file that Pipeline\.save wrote\.$"
    with pytest.raises(ValueError, match=message):
        sc.Pipeline.load(path)


@pytest.mark.parametrize(
    "weights",
    [{}, {"conv1d.weight": torch.ones(5, 9, 3)}, {"conv1d.weight": torch.ones(5, 9, 2), "conv1d.bias": torch.ones(5)}],
    ids=["none", "one missing", "another shape"],
)
def test_weights_that_do_not_fit_their_pipeline_are_refused(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    path = tmp_path / "pipe.safetensors"
    save_file(weights, path, metadata={"pipeline": STFT_CONV})
    with pytest.raises(
        ValueError, match=r"(?s)^the weights in .*pipe\.safetensors do not fit its pipeline: .*conv1d\."
    ):
        sc.Pipeline.load(path)


def test_a_damaged_description_in_the_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pipe.safetensors"
    save_file({}, path, metadata={"pipeline": "sample_rate = "})
    with pytest.raises(ValueError, match=r"pipe\.safetensors is not valid TOML: "):
        sc.Pipeline.load(path)


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failing_write_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    path = tmp_path / "pipe.safetensors"
    sc.Pipeline.from_preset("logmel").save(path)
    before = path.read_bytes()

    def disk_full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, disk_full)
    with pytest.raises(OSError, match="No space left on device"):
        sc.Pipeline.from_toml(STFT_CONV).save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_whole_and_on_the_disk_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, replace, seen = tmp_path / "pipe.safetensors", os.replace, []

    def renamed(source: str, target: str) -> None:
        seen.append(("renamed", os.path.getsize(source)))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", lambda file: seen.append(("forced to disk", os.fstat(file).st_size)))
    monkeypatch.setattr(os, "replace", renamed)
    sc.Pipeline.from_preset("logmel").save(path)
    size = path.stat().st_size
    assert seen == [("forced to disk", size), ("renamed", size)]


def test_a_saved_file_may_be_read_by_whom_the_umask_says(tmp_path: Path) -> None:
    path, plain = tmp_path / "pipe.safetensors", tmp_path / "plain"
    plain.touch()
    sc.Pipeline.from_preset("logmel").save(path)
    assert path.stat().st_mode == plain.stat().st_mode


# Random weights


def test_random_weights_are_told_from_computed_loaded_and_trained_ones(tmp_path: Path) -> None:
    random, computed = sc.Pipeline.from_toml(STFT_CONV), sc.Pipeline.from_preset("logmel", stft={"learn": "free"})
    assert random.fresh_random
    assert random.double().fresh_random
    assert not computed.fresh_random
    random.save(tmp_path / "random.safetensors")
    assert sc.Pipeline.load(tmp_path / "random.safetensors").fresh_random
    optimiser = torch.optim.SGD(random.parameters(), lr=0.1)
    random(noise(1, 90).double()).sum().backward()
    optimiser.step()
    random.save(tmp_path / "trained.safetensors")
    assert not random.fresh_random
    assert not sc.Pipeline.load(tmp_path / "trained.safetensors").fresh_random
    fresh = sc.Pipeline.from_toml(STFT_CONV)
    fresh.load_state_dict(random.state_dict())
    assert not fresh.fresh_random


def test_loading_leaves_torchs_generator_alone(tmp_path: Path) -> None:
    sc.Pipeline.from_toml(STFT_CONV).save(tmp_path / "pipe.safetensors")
    before = torch.random.get_rng_state()
    sc.Pipeline.load(tmp_path / "pipe.safetensors")
    assert torch.equal(torch.random.get_rng_state(), before)


def test_fresh_weights_follow_torchs_seed() -> None:
    first, second, third = (
        (torch.manual_seed(seed), sc.Pipeline.from_toml(STFT_CONV).state_dict()["conv1d.weight"])[1]
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


# What the command line opens


def test_a_pipeline_opens_by_preset_toml_or_saved_file(tmp_path: Path) -> None:
    pipe = trained(sc.Pipeline.from_toml(STFT_CONV))
    pipe.save(tmp_path / "pipe.safetensors")
    (tmp_path / "pipe.toml").write_text(pipe.to_toml(), "utf-8")
    assert open_pipeline("logmel").to_toml() == sc.Pipeline.from_preset("logmel").to_toml()
    assert open_pipeline("logmel", {"mel": {"n_mels": 40}}).output_dim == 40
    assert open_pipeline(tmp_path / "pipe.toml").to_toml() == pipe.to_toml()
    assert open_pipeline(str(tmp_path / "pipe.toml"), {"stft.hop_length": 8}).hop_length == 8
    assert_same(pipe, open_pipeline(tmp_path / "pipe.safetensors"))


def test_what_cannot_be_opened_is_refused_with_what_can(tmp_path: Path) -> None:
    path = tmp_path / "pipe.safetensors"
    sc.Pipeline.from_preset("logmel").save(path)
    with pytest.raises(ValueError, match=r"is a saved pipeline, its values are fixed; drop sample_rate\.$"):
        open_pipeline(path, {"sample_rate": 8000})
    message = r"^unknown preset 'logmell' .* mean 'logmel'\? Accepted: .*, logmel, .*, FILE.toml, FILE.safetensors\.$"
    with pytest.raises(ValueError, match=message):
        open_pipeline("logmell")
    with pytest.raises(ValueError, match=r"^unknown stage or key 'mell' in preset 'logmel'; .*(?<!file\.)$"):
        open_pipeline("logmel", {"mell": {}})
    (tmp_path / "bad.toml").write_text("rate = 8000")
    with pytest.raises(ValueError, match=r"^unknown key 'rate' in .*bad\.toml; "):
        open_pipeline(tmp_path / "bad.toml")
    for missing in ("missing.toml", "missing.safetensors"):
        with pytest.raises(FileNotFoundError):
            open_pipeline(tmp_path / missing)
