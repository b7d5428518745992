"""The contract of a pipeline towards torch itself, each line of it, and what all plugs share."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import get_model_state_dict, set_model_state_dict
from torch.utils.checkpoint import checkpoint

import speechconv as sc
from speechconv.adapters.plug import Plug, check_encoder, open_encoder
from tests.adapters.encoders import feature_encoder, gradients, mel_pipeline, ragged
from tests.adapters.models import off
from tests.pipelines import trained


def conformer_pipeline() -> sc.Pipeline:
    """With batch norm and dropout, the two that train() matters to."""
    module = sc.Residual(sc.ConformerConvModule(6, kernel_size=5, dropout=0.5, bias=True))
    return sc.Pipeline([*mel_pipeline(), module], sample_rate=8000)


def encoder_pipeline() -> sc.Pipeline:
    return sc.Pipeline([feature_encoder()], sample_rate=8000)


Make = Callable[[], sc.Pipeline]
PIPELINES: dict[str, Make] = {"mel": mel_pipeline, "encoder": encoder_pipeline, "conformer": conformer_pipeline}
each_pipeline = pytest.mark.parametrize("make", PIPELINES.values(), ids=PIPELINES.keys())


# The contract


@each_pipeline
@pytest.mark.parametrize(("batch", "samples"), [(2, 900), (1, 1), (3, 0), (0, 900)])
def test_shapes_follow_from_the_number_of_samples(make: Make, batch: int, samples: int) -> None:
    pipe = make().eval()
    y = pipe(torch.zeros(batch, samples))
    assert type(y) is torch.Tensor
    assert y.shape == (batch, pipe.num_frames(samples), pipe.output_dim)
    frames, counts = pipe(torch.zeros(batch, samples), torch.full((batch,), samples))
    assert frames.shape == y.shape
    assert (counts.dtype, counts.tolist()) == (torch.int64, [pipe.num_frames(samples)] * batch)


@each_pipeline
def test_padding_changes_no_frame_no_gradient_and_no_statistic(make: Make) -> None:
    """In training too, dropout aside."""
    pipe = make().double().train()
    for part in pipe.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    wav, lengths = ragged(700, 333, dtype=torch.float64)
    found = []
    for fill in (torch.nan, 0.0, 1e9):
        twin = copy.deepcopy(pipe)
        padded = torch.where(wav.isnan(), fill, wav)
        frames, _ = twin(padded, lengths)
        frames.square().sum().backward()
        found.append((frames, *gradients(twin), *twin.buffers()))
    for others in found[1:]:
        assert all(torch.equal(first, other) for first, other in zip(found[0], others, strict=True))


@each_pipeline
def test_a_state_dict_holds_what_was_learned_or_measured_and_nothing_else(make: Make) -> None:
    pipe, other = trained(make()).eval(), make().eval()
    learned = {name for name, _ in pipe.named_parameters()}
    measured = {name for name in pipe.state_dict() if name.rpartition(".")[2] in ("running_mean", "running_var")}
    assert pipe.state_dict().keys() - learned - measured <= {"residual.body.depthwise_norm.num_batches_tracked"}
    other.load_state_dict(pipe.state_dict())
    wav, lengths = ragged(700, 333)
    assert torch.equal(other(wav, lengths)[0], pipe(wav, lengths)[0])


def test_train_matters_to_dropout_and_batch_norm_alone() -> None:
    wav, _ = ragged(700, 700)
    for make in (mel_pipeline, encoder_pipeline):
        pipe = make()
        assert torch.equal(pipe.train()(wav), pipe.eval()(wav))
    pipe = conformer_pipeline()
    before = pipe.get_buffer("residual.body.depthwise_norm.running_mean").clone()
    assert not torch.equal(pipe.train()(wav), pipe.eval()(wav))
    assert not torch.equal(pipe.get_buffer("residual.body.depthwise_norm.running_mean"), before)


def test_presets_and_files_are_in_eval_mode(tmp_path: Path) -> None:
    pipe = sc.Pipeline.from_preset("logmel")
    pipe.train().save(tmp_path / "pipe.safetensors")
    assert not sc.Pipeline.from_preset("logmel").training
    assert not sc.Pipeline.load(tmp_path / "pipe.safetensors").training


@each_pipeline
def test_another_type_of_input_is_refused_and_a_cast_is_exact(make: Make) -> None:
    wav, _ = ragged(700, 700)
    with pytest.raises(TypeError, match=r"holds torch.float32, got an input of torch.float64; convert one of them"):
        make()(wav.double())
    torch.manual_seed(0)
    cast = make().double().eval()
    torch.manual_seed(0)
    single = make().eval()
    assert off(single(wav).double(), cast(wav.double())) <= 1e-5
    with torch.no_grad():
        for mine, theirs in zip(cast.buffers(), copy.deepcopy(single).double().buffers(), strict=True):
            assert torch.equal(mine, theirs)


@each_pipeline
def test_autocast_leaves_the_weights_and_trains(make: Make) -> None:
    pipe = make().eval()
    wav, lengths = ragged(700, 333)
    expected, counts = pipe(wav, lengths)
    with torch.autocast("cpu", torch.bfloat16):
        frames, found = pipe(wav, lengths)
    assert torch.equal(found, counts)
    assert (frames.float() - expected).norm() <= 0.05 * expected.norm()  # eight bits a number, through a few layers
    frames.float().square().sum().backward()
    assert {parameter.dtype for parameter in pipe.parameters()} == {torch.float32}
    gradients(pipe)


@each_pipeline
def test_gradients_reach_every_parameter_and_the_waveform_also_through_two_calls_and_checkpoints(
    make: Make,
) -> None:
    pipe = trained(make()).double().eval()
    wav, lengths = ragged(700, 333, dtype=torch.float64, fill=0.0)
    wav.requires_grad_()
    pipe(wav, lengths)[0].square().sum().backward()
    assert wav.grad is not None
    assert wav.grad[0].any()
    assert not wav.grad[1, 333:].any()
    once = [gradient.clone() for gradient in gradients(pipe)]
    pipe.zero_grad()
    (pipe(wav, lengths)[0].square().sum() + pipe(wav, lengths)[0].square().sum()).backward()
    assert all(torch.allclose(2 * first, both, rtol=1e-12) for first, both in zip(once, gradients(pipe), strict=True))
    pipe.zero_grad()
    frames, _ = checkpoint(pipe, wav, lengths, use_reentrant=False)
    frames.square().sum().backward()
    assert all(torch.allclose(first, again, rtol=1e-12) for first, again in zip(once, gradients(pipe), strict=True))


@each_pipeline
@pytest.mark.parametrize("way", [copy.deepcopy, lambda pipe: pickle.loads(pickle.dumps(pipe))], ids=["copy", "pickle"])
def test_copies_give_the_same_frames_and_share_nothing(make: Make, way: Callable[[sc.Pipeline], sc.Pipeline]) -> None:
    pipe = trained(make()).eval()
    wav, _ = ragged(700, 700)
    expected = pipe(wav)
    twin = way(pipe)
    with torch.no_grad():
        for parameter in pipe.parameters():
            parameter.zero_()
    assert torch.equal(twin(wav), expected)


def test_two_processes_of_ddp_and_of_fsdp_give_the_gradients_of_one(tmp_path: Path) -> None:
    """Two rows in each; every parameter takes part, so that DDP needs no search for unused ones."""
    script = Path(__file__).with_name("ddp.py")
    workers = [
        subprocess.Popen([sys.executable, "-m", "tests.adapters.ddp", str(rank), str(tmp_path)], cwd=script.parents[2])
        for rank in range(2)
    ]
    assert [worker.wait(timeout=100) for worker in workers] == [0, 0]
    assert all((tmp_path / f"{rank}.ok").exists() for rank in range(2))


def test_ddp_refuses_a_pipeline_without_parameters_and_sync_batch_norm_passes_ours_by() -> None:
    assert not list(sc.Pipeline.from_preset("logmel").parameters())
    pipe = nn.SyncBatchNorm.convert_sync_batchnorm(conformer_pipeline())
    assert not any(isinstance(part, nn.SyncBatchNorm) for part in pipe.modules())


# What plugs share


def test_a_plugs_state_dict_is_its_encoders_in_any_depth() -> None:
    encoder = trained(encoder_pipeline())
    inside = nn.Sequential(nn.Identity(), nn.ModuleDict({"plug": Plug(encoder), "other": nn.Linear(1, 1)}))
    keys = {f"1.plug.{key}" for key in encoder.state_dict()} | {"1.other.weight", "1.other.bias"}
    assert inside.state_dict().keys() == keys
    for source, target in ((Plug(encoder), encoder_pipeline()), (encoder, Plug(encoder_pipeline()))):
        target.load_state_dict(source.state_dict())
        for key, tensor in encoder.state_dict().items():
            assert torch.equal(target.state_dict()[key], tensor)
    twin = copy.deepcopy(inside)
    with torch.no_grad():
        for parameter in inside.parameters():
            parameter.add_(1)
    twin.load_state_dict(inside.state_dict())
    for mine, other in zip(twin.parameters(), inside.parameters(), strict=True):
        assert torch.equal(mine, other)


def test_torchs_distributed_state_dict_follows_a_plugs_names() -> None:
    encoder = trained(encoder_pipeline())
    inside = nn.ModuleDict({"plug": Plug(encoder)})
    state = get_model_state_dict(inside)
    assert state.keys() == {f"plug.{key}" for key in encoder.state_dict()}
    other = encoder_pipeline()
    set_model_state_dict(nn.ModuleDict({"plug": Plug(other)}), state)
    assert all(torch.equal(one, two) for one, two in zip(other.parameters(), encoder.parameters(), strict=True))


def test_a_plug_has_its_encoders_attributes() -> None:
    plug = Plug(mel_pipeline())
    assert (plug.sample_rate, plug.hop_length, plug.output_dim) == (8000, 20, 6)
    with pytest.raises(AttributeError, match="'Pipeline' object has no attribute 'sample_rat'"):
        _ = plug.sample_rat


def test_keys_that_do_not_fit_a_plug_are_still_refused() -> None:
    state = Plug(encoder_pipeline()).state_dict()
    state["stray"] = state.pop("feature_encoder.conv_layers.0.conv.weight")
    with pytest.raises(
        RuntimeError, match=r"Missing key\(s\).*conv_layers.0.conv.weight.*\n.*Unexpected key\(s\).*stray"
    ):
        Plug(encoder_pipeline()).load_state_dict(state)


def test_an_encoder_is_opened_by_name_by_file_or_taken_as_it_is(tmp_path: Path) -> None:
    pipe = mel_pipeline()
    pipe.save(tmp_path / "pipe.safetensors")
    (tmp_path / "pipe.toml").write_text(pipe.to_toml(), "utf-8")
    assert open_encoder(pipe) is pipe
    wav, _ = ragged(700)
    assert torch.equal(open_encoder(tmp_path / "pipe.safetensors")(wav), pipe(wav))
    pipe.save(tmp_path / "pipeline.safetensors")
    assert torch.equal(open_encoder(tmp_path)(wav), pipe(wav))  # as a training run leaves its folder
    assert open_encoder(str(tmp_path / "pipe.toml"), {"mel": {"n_mels": 7}}).channels_after(0) == 7
    assert open_encoder("logmel", {"sample_rate": 8000}).num_frames(800) == 6


def test_what_is_no_encoder_is_refused() -> None:
    with pytest.raises(TypeError, match=r"takes a waveform, such as FeatureEncoder; got Linear\."):
        check_encoder(nn.Linear(1, 1))
    with pytest.raises(
        ValueError, match=r"an encoder must take a waveform, and Conv1d takes frames; put it behind a fron"
    ):
        check_encoder(sc.Conv1d(1, 1, 3))
    with pytest.raises(ValueError, match=r"complex frames, which no toolkit takes; set output='power' of its stft"):
        open_encoder("stft")
    with pytest.raises(ValueError, match=r"FeatureEncoder is built already; drop the overrides channels"):
        open_encoder(feature_encoder(), {"channels": 3})
    with pytest.raises(ValueError, match=r"unknown preset 'logmell'.* did you mean 'logmel'"):
        open_encoder("logmell")
