"""What names a pipeline on the command line and in extract."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import speechconv as sc
from speechconv.extraction.recipe import Recipe
from speechconv.pipeline import open_pipeline
from speechconv.pipeline_source import source_file
from speechconv.verification.sources import pipeline_in


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A training run's folder, with a pipeline that no preset equals."""
    folder = tmp_path / "run"
    folder.mkdir()
    sc.Pipeline.from_preset("logmel", mel={"n_mels": 7}).save(folder / "pipeline.safetensors")
    return folder


def test_a_runs_folder_stands_for_the_pipeline_in_it(run: Path) -> None:
    wav = torch.randn(1, 2000)
    expected = sc.Pipeline.load(run / "pipeline.safetensors")(wav)
    for name in (run, str(run), f"{run}/"):
        assert torch.equal(open_pipeline(name)(wav), expected)
        found = pipeline_in(name)
        assert found is not None
        assert torch.equal(found(wav), expected)


def test_a_folder_does_not_hide_the_preset_of_its_name(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.parent)
    run.rename(run.parent / "logmel")
    assert source_file("logmel") is None
    assert open_pipeline("logmel").output_dim == 80
    found = pipeline_in("logmel")
    assert found is not None
    assert found.output_dim == 80


def test_a_folder_without_a_pipeline_is_told_before_torch_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no pipeline\.safetensors; .* trained to its end"):
        Recipe(tmp_path, tmp_path)
