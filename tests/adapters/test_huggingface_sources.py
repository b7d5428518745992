"""Checkpoints of transformers, in every form they come in: transformers itself is the judge."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import speechconv as sc
from speechconv.adapters import huggingface
from speechconv.adapters.checkpoint import open_checkpoint
from tests.adapters.checkpoints import BASE, LARGE, each_layout, saved, speech, stages
from tests.adapters.models import fairseq_keys, hidden_states, off, transformers_model, weight_norm_keys


@each_layout
@pytest.mark.parametrize("form", ["folder", "shards", "bin", "file of the folder", "file", "pt", "state dict"])
def test_every_form_gives_the_same_pipeline(form: str, layout: str, tmp_path: Path) -> None:
    model = transformers_model(layout, head="ForCTC")
    source: Any = saved(model, tmp_path / "model", max_shard_size="20KB" if form == "shards" else "1GB")
    weights = source / "model.safetensors"
    if form == "shards":
        assert not weights.exists()
        assert (source / "model.safetensors.index.json").exists()
    elif form == "bin":
        weights.unlink()
        torch.save(model.state_dict(), source / "pytorch_model.bin")
    elif form == "file of the folder":
        source = weights
    elif form == "file":
        source = weights.rename(tmp_path / "alone.safetensors")
    elif form == "pt":
        source = tmp_path / "alone.pt"
        torch.save({"model": model.state_dict(), "step": 3}, source)
    elif form == "state dict":
        source = model.state_dict()
    expected, pipe = huggingface.load(model), huggingface.load(source)
    wav = speech(0.1)
    assert stages(pipe) == (BASE if layout == "base" else LARGE)
    assert torch.equal(pipe(wav), expected(wav))
    assert pipe.to_toml() == expected.to_toml()


def test_shards_of_bin_files(tmp_path: Path) -> None:
    model = transformers_model()
    saved(model, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    state = model.state_dict()
    places = {key: f"pytorch_model-0000{1 + i % 2}-of-00002.bin" for i, key in enumerate(state)}
    for name in set(places.values()):
        torch.save({key: state[key] for key in state if places[key] == name}, tmp_path / name)
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": places}))
    wav = speech(0.1)
    assert torch.equal(huggingface.load(tmp_path)(wav), huggingface.load(model)(wav))


def test_only_a_file_by_transformers_own_name_takes_the_config_beside_it(tmp_path: Path) -> None:
    saved(transformers_model(layer_norm_eps=0.5), tmp_path)
    path = tmp_path / "model.safetensors"
    assert huggingface.load(path).get_submodule("projection_norm").eps == 0.5
    path = path.rename(tmp_path / "epoch3.safetensors")
    assert huggingface.load(path).get_submodule("projection_norm").eps == 1e-5


@each_layout
@pytest.mark.parametrize("style", ["hooks", "fused"])
def test_every_style_of_weight_norm(style: str, layout: str) -> None:
    model = transformers_model(layout).double()
    state = weight_norm_keys(model.state_dict(), style)
    wav = speech(0.1, torch.float64)
    pipe = huggingface.load(state, normalize=None, dtype=torch.float64)
    assert off(pipe(wav), hidden_states(model, wav)) <= 1e-12


@each_layout
@pytest.mark.parametrize("kind", ["Wav2Vec2", "Hubert"])
@pytest.mark.parametrize("form", ["pretrained", "fine-tuned", "file"])
def test_fairseq_checkpoints(form: str, kind: str, layout: str, tmp_path: Path) -> None:
    model = transformers_model(layout, kind)
    source: Any = fairseq_keys(model.state_dict())
    extra = {
        "pretrained": ["quantizer.vars", "project_q.weight", "final_proj.bias", "label_embs_concat"],
        "fine-tuned": ["w2v_encoder.proj.weight", "w2v_encoder.proj.bias"],
        "file": ["target_glu.0.weight", "input_quantizer.vars", "project_inp.weight"],
    }
    if form == "fine-tuned":
        source = {f"w2v_encoder.w2v_model.{key}": tensor for key, tensor in source.items()}
    source |= {key: torch.ones(2) for key in extra[form]}
    if form == "file":
        torch.save({"args": None, "model": source, "optimizer_history": [], "extra_state": {}}, tmp_path / "w2v.pt")
        source = tmp_path / "w2v.pt"
    wav = speech(0.1)
    pipe = huggingface.load(source)
    inside = wav if layout == "base" else torch.nn.functional.layer_norm(wav, wav.shape[1:])  # fairseq's own way
    assert off(pipe(wav), hidden_states(model, inside)) <= 1e-5


def test_old_fairseq_files_in_half_precision_are_taken_in_float32() -> None:
    model = transformers_model()
    state = {key: tensor.half() for key, tensor in model.state_dict().items()}
    pipe = huggingface.load(fairseq_keys(state))
    model.load_state_dict(state)
    wav = speech(0.1)
    assert {p.dtype for p in pipe.parameters()} == {torch.float32}
    assert off(pipe(wav), hidden_states(model, wav)) <= 1e-5


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_what_is_left_out_is_not_read_into_memory(suffix: str, tmp_path: Path) -> None:
    import psutil

    path, process = tmp_path / f"large{suffix}", psutil.Process()
    state = transformers_model().state_dict() | {"encoder.layers.9.fc1.weight": torch.ones(16 << 20)}
    (save_file if suffix == ".safetensors" else torch.save)(state, path)
    del state
    before = process.memory_info().rss
    checkpoint = open_checkpoint(path)
    pipe = huggingface.load(checkpoint.tensors)
    assert process.memory_info().rss - before < 16 << 20  # of 64 MB
    assert not pipe.fresh_random


# Files and names that are not there


def test_a_file_with_more_than_tensors_says_how_to_save_them_alone(tmp_path: Path) -> None:
    """The line that the message ends with is run here."""
    import argparse

    model = transformers_model()
    path = tmp_path / "wav2vec_small.pt"
    torch.save({"args": argparse.Namespace(lr=1.0), "model": fairseq_keys(model.state_dict())}, path)
    with pytest.raises(ValueError, match=r"holds more than tensors \(argparse.Namespace\), .* would run code") as error:
        huggingface.load(path)
    line = str(error.value).rpartition("is installed: ")[2]
    eval(line, {"torch": torch})
    wav = speech(0.1)
    assert torch.equal(huggingface.load(tmp_path / "wav2vec_small.tensors.pt")(wav), huggingface.load(model)(wav))


def test_a_pickle_that_would_run_code_does_not_run_it(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "sprung",))

    torch.save({"model": Trap()}, tmp_path / "trap.pt")
    with pytest.raises(ValueError, match=r"holds more than tensors"):
        huggingface.load(tmp_path / "trap.pt")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.safetensors", b"junk", "a.safetensors is not a safetensors file"),
        ("a.pt", b"junk", "a.pt is not a file of torch's "),
        ("a.bin", b"", "a.bin is not a file of torch's \\(EOFError: "),
        ("a.txt", b"junk", r"a.txt is no checkpoint: expected .safetensors or .bin, .pt, .pth, .ckpt"),
        ("a.index.json", b"{", "a.index.json is not valid JSON"),
        ("a.index.json", b"[]", "a.index.json must hold a JSON object, got list"),
        ("a.index.json", b"{}", "a.index.json has no weight_map"),
    ],
)
def test_files_of_something_else_are_refused(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        huggingface.load(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "held"),
    [({"epoch": 3, "loss": 0.5}, "epoch, loss"), ([1, 2], "list"), ({}, "nothing"), ({"model": {"a": 1}}, "model")],
)
def test_torch_files_without_a_state_dict_are_refused(content: Any, held: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=rf"holds no state dict, .* model_state_dict; it holds {held}\.$"):
        huggingface.load(tmp_path / "a.pt")


def test_a_pipeline_of_our_own_is_not_a_checkpoint(tmp_path: Path) -> None:
    sc.Pipeline.from_preset("logmel").save(tmp_path / "pipe.safetensors")
    with pytest.raises(ValueError, match=r"pipeline of speechconv's own; open it with speechconv.Pipeline.load"):
        huggingface.load(tmp_path / "pipe.safetensors")


def test_absent_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"no weights in the folder .*: expected one of model.safetensors, .* noth"
    ):
        huggingface.load(tmp_path)
    for name in ("no/such/folder", "model.safetensors", "some/model.pt", "/some", "wav2vec2-base"):
        with pytest.raises(
            FileNotFoundError, match=rf"no file or folder {name}; a model on the hub is named owner/name"
        ):
            huggingface.load(name)
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"w": "one.safetensors"}}')
    with pytest.raises(FileNotFoundError, match=r"names files that are not beside it: one.safetensors"):
        huggingface.load(tmp_path)


# The hub


@pytest.mark.parametrize("held", ["model.safetensors", "pytorch_model.bin"])
def test_a_hub_name_fetches_only_the_files_that_are_needed(
    held: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fnmatch import fnmatch

    import huggingface_hub

    model = transformers_model()
    hub, cache = saved(model, tmp_path / "hub"), tmp_path / "cache"
    cache.mkdir()
    if held == "pytorch_model.bin":
        (hub / "model.safetensors").unlink()
    torch.save(model.state_dict(), hub / "pytorch_model.bin")
    (hub / "flax_model.msgpack").write_bytes(b"large")

    def snapshot_download(name: str, *, allow_patterns: list[str]) -> str:
        assert name == "owner/a-model_1.0"
        for file in hub.iterdir():
            if any(fnmatch(file.name, pattern) for pattern in allow_patterns):
                (cache / file.name).write_bytes(file.read_bytes())
        return str(cache)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    wav = speech(0.1)
    assert torch.equal(huggingface.load("owner/a-model_1.0")(wav), huggingface.load(model)(wav))
    assert {file.name for file in cache.iterdir()} == {"config.json", held}


def test_a_hub_that_is_out_of_reach_is_an_error_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        ConnectionError, match=r"no file or folder no-one/nothing, and the hub did not give it .* network"
    ):
        huggingface.load("no-one/nothing")


def test_without_the_hubs_package_the_message_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(
        ImportError, match=r"takes the package huggingface_hub: pip install huggingface_hub, or download"
    ):
        huggingface.load("no-one/nothing")
