"""Memory against what stands while a module really runs: what autograd saves, and the storages alive at each moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.utils import parametrizations
from torch.utils._python_dispatch import TorchDispatchMode

import speechconv as sc
from tests.cost.networks import lenet5


class Standing(TorchDispatchMode):
    """The most bytes of an input and of all storages made of it that stand at once; parameters do not count."""

    def __init__(self, module: nn.Module, x: Tensor) -> None:
        super().__init__()
        self.peak = 0
        self._own = {p.untyped_storage()._cdata for p in module.parameters()}
        self._known: dict[int, tuple[StorageWeakRef, int]] = {}
        self._add((x,))

    def _add(self, tensors: tuple[Any, ...]) -> None:
        for tensor in tensors:
            if isinstance(tensor, Tensor) and (storage := tensor.untyped_storage())._cdata not in self._own:
                self._known[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        y = func(*args, **(kwargs or {}))
        self._add(y if isinstance(y, tuple) else (y,))
        self.peak = max(self.peak, sum(size for storage, size in self._known.values() if not storage.expired()))
        return y


def most_at_once(module: nn.Module, x: Tensor) -> int:
    with torch.no_grad(), Standing(module, x) as standing:
        module(x)
    return standing.peak


def saved(module: nn.Module, x: Tensor) -> int:
    """Bytes that autograd keeps in a training pass on real numbers, parameters and buffers aside."""
    own = {t.untyped_storage().data_ptr() for t in (*module.parameters(), *module.buffers())}
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        _ = module.train()(x)
        return sum(storage.nbytes() for storage in kept.values())


def torch_nets() -> Iterator[tuple[str, nn.Module, tuple[int, ...]]]:
    yield "lenet", lenet5(), (1, 32, 32)
    conv = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Dropout(0.5)]
    yield (
        "pictures",
        nn.Sequential(*conv, nn.Conv2d(8, 4, 3), nn.GELU(), nn.Flatten(), nn.Linear(4 * 25, 3)),
        (3, 16, 16),
    )
    frozen = nn.Conv1d(4, 8, 3).requires_grad_(False)
    rest = [nn.GroupNorm(2, 8), nn.SiLU(), nn.Conv1d(8, 8, 3, groups=4), nn.Hardswish(), nn.AvgPool1d(2)]
    yield "a frozen start", nn.Sequential(frozen, nn.Tanh(), *rest), (4, 50)


@pytest.mark.parametrize(("net", "shape"), [pytest.param(*rest, id=name) for name, *rest in torch_nets()])
def test_training_keeps_what_autograd_saves(net: nn.Module, shape: tuple[int, ...]) -> None:
    sheet = sc.describe(net, shape)
    assert sheet.total.training_bytes == saved(net, torch.randn(1, *shape))
    assert sheet.total.training_bytes == sum(stage.training_bytes or 0 for stage in sheet.stages) > 0


@pytest.mark.parametrize("name", ["full", "wav2vec2-base", "wav2vec2-large", "conformer-front", "logmel"])
def test_training_a_preset_keeps_what_autograd_saves(name: str) -> None:
    """A log-mel has nothing to learn, so it keeps nothing."""
    pipe = sc.Pipeline.from_preset(name)
    sheet = sc.describe(pipe, 8000)
    assert sheet.total.training_bytes == saved(pipe, torch.randn(1, 8000))
    assert sheet.total.training_bytes == sum(stage.training_bytes or 0 for stage in sheet.stages)
    assert (sheet.total.training_bytes == 0) == (name == "logmel")


class SharedHeads(nn.Module):
    """Attention by torch's function, which has a kernel for each device."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        heads = self.project(x).unflatten(-1, (2, 8)).transpose(1, 2)
        return F.scaled_dot_product_attention(heads, heads, heads)


@pytest.mark.parametrize(
    ("net", "shape"), [(SharedHeads(), (300, 16)), (nn.LSTM(20, 32, batch_first=True), (100, 20))], ids=["sdpa", "lstm"]
)
def test_memory_that_a_device_s_kernels_need_otherwise_is_said_to_be_meta_tensors(
    net: nn.Module, shape: tuple[int, ...]
) -> None:
    """Neither exact nor "at least": here a CPU keeps less for attention, and more for a recurrence."""
    sheet, x = sc.describe(net, shape), torch.randn(1, *shape)
    assert sheet.total.training_bytes != saved(net, x)
    lines = str(sheet).splitlines()
    outputs, at_once = next(line for line in lines if line.startswith("forward memory")).split(", ")
    assert " at least " in outputs
    assert at_once.endswith(" at once on meta tensors")
    assert next(line for line in lines if line.startswith("training memory")).endswith(" on meta tensors")
    assert lines[-1] == "on meta tensors: for what is not counted, a device's kernels may need more memory, or less"


def normed() -> sc.Layer:
    """Reading a weight in training refines the estimate of its norm."""
    parts = (sc.Conv1d(9, 9, 1), sc.PointwiseConv(9, 9), nn.Linear(9, 9))
    return sc.Sequential(*(parametrizations.spectral_norm(part) for part in parts))


@pytest.mark.parametrize(
    "net",
    [nn.Sequential(nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3), nn.Dropout(0.5)), normed(), nn.Sequential(normed())],
    ids=["torch", "layers", "layers in torch"],
)
def test_describing_changes_nothing_in_the_module(net: nn.Module) -> None:
    net.train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    generator = torch.random.get_rng_state()
    assert not sc.describe(net, (2, 9)).unknown
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), generator)
    assert net.training
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in net.modules())


def layers() -> Iterator[tuple[str, sc.Layer]]:
    conv = sc.Conv1d(6, 24, 1)
    yield "a chain", sc.Sequential(conv, nn.GELU(), sc.Sequential(sc.Conv1d(24, 24, 1), nn.ReLU()), nn.Linear(24, 2))
    body = sc.Sequential(nn.Linear(6, 30), nn.ReLU(), nn.Dropout(0.1), nn.Linear(30, 6))
    yield "a skip", sc.Sequential(nn.Linear(6, 6), sc.Residual(body), nn.Linear(6, 6))
    yield "half a skip", sc.Sequential(nn.Linear(6, 6), sc.Residual(sc.Sequential(nn.Identity(), body), scale=0.5))
    yield "a scaled copy", sc.Residual(nn.Linear(6, 6), scale=0.5)
    branches = (nn.Linear(6, 8), sc.Sequential(nn.Linear(6, 40), nn.SiLU(), nn.Linear(40, 8)), nn.Linear(6, 8))
    for join in ("sum", "cat", "product"):
        yield f"branches, {join}", sc.Sequential(nn.Linear(6, 6), sc.Parallel(*branches, join=join), nn.Tanh())
    yield "a deep skip", sc.Residual(sc.Sequential(sc.Residual(body), nn.Linear(6, 50), nn.ReLU(), nn.Linear(50, 6)))


@pytest.mark.parametrize("layer", [pytest.param(layer, id=name) for name, layer in layers()])
def test_no_more_stands_at_once_than_the_peak_says_and_no_less(layer: sc.Layer) -> None:
    layer = layer.double().eval()
    x = torch.randn(1, 700, 6, dtype=torch.float64)
    assert sc.describe(layer, 700).total.peak_bytes == most_at_once(layer, x)


@pytest.mark.parametrize("net", [lenet5(), nn.Sequential(nn.Conv2d(1, 9, 3), nn.ReLU(), nn.Conv2d(9, 2, 3))])
def test_the_peak_of_torch_s_modules_is_what_stands_at_once(net: nn.Module) -> None:
    x = torch.randn(1, 1, 32, 32)
    assert sc.describe(net, (1, 32, 32)).total.peak_bytes == most_at_once(net.eval(), x)


def test_a_layer_of_ours_that_gets_a_batch_needs_memory_for_all_of_it() -> None:
    """Frames folded into the batch, as a network over bands has them."""

    class Folded(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x.unflatten(1, (7, -1)).flatten(0, 1))

    inner = sc.Sequential(sc.Conv1d(6, 8, 1), nn.ReLU(), sc.Residual(nn.Linear(8, 8)))
    net, x = Folded(inner.eval()), torch.randn(1, 700, 6)
    folded, alone = sc.describe(net, (700, 6)).total, sc.describe(inner, 100).total
    assert folded.peak_bytes == most_at_once(net, x)
    assert folded.activation_bytes == 7 * alone.activation_bytes


def test_outputs_are_all_that_layers_write_for_the_first_time() -> None:
    net = sc.Sequential(
        sc.Conv1d(2, 5, 3),
        nn.ReLU(),
        nn.Dropout(0.1),
        sc.Residual(nn.Linear(5, 5)),
        sc.Residual(nn.Linear(5, 5), scale=0.5),
        sc.Parallel(*(nn.Linear(5, 5) for _ in range(3))),
        sc.Parallel(nn.Identity(), nn.Linear(5, 3), join="cat"),
        sc.StackFrames(2),
    )
    frames = 98
    values = [frames * width for width in (5, 5, 0, 5 * 2, 5 * 3, 5 * 3 + 5 * 2, 3 + 8, 0)]
    sheet = sc.describe(net.double(), 100)
    assert [stage.activation_bytes // 8 for stage in sheet.stages] == values
    assert sheet.forward_bytes == 8 * (sum(values) + 200)


class Joined(nn.Module):
    """A layer of torch, joined with its input by a function."""

    def __init__(self, layer: nn.Module, join: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.join = layer, join

    def forward(self, x: Tensor) -> Tensor:
        return self.join(x, self.layer(x))


def test_outputs_of_functions_count_at_the_module_that_gives_them() -> None:
    """As those of the compositions that do the same; a view, a part's output and the input itself give nothing new."""
    layer = nn.Linear(4, 4)
    ours = {
        torch.add: sc.Residual(layer),
        lambda x, y: torch.cat([x, y], -1): sc.Parallel(nn.Identity(), layer, join="cat"),
        lambda x, y: y[:, 1:]: layer,
        lambda x, y: x: layer,
    }
    for join, composition in ours.items():
        theirs = nn.Sequential(Joined(Joined(layer, join), lambda x, y: y))
        assert sc.describe(theirs, (9, 4)).forward_bytes == sc.describe(composition, (9, 4)).forward_bytes


def test_no_more_stands_at_once_than_the_input_and_all_outputs() -> None:
    net = Joined(nn.Conv1d(8, 8, 3, padding=1), lambda x, y: torch.cat([x, y.relu_()], 1))
    sheet = sc.describe(nn.Sequential(net), (8, 100))
    assert sheet.total.peak_bytes == most_at_once(net.eval(), torch.randn(1, 8, 100)) == sheet.forward_bytes


def test_a_complex_spectrum_takes_two_values_a_bin() -> None:
    stft = sc.ConvSTFT(64, hop_length=16)
    y = stft(torch.randn(1, 1000))
    assert sc.describe(stft, 1000).total.activation_bytes == y.numel() * y.element_size()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_memory_is_in_the_module_s_own_type(dtype: torch.dtype) -> None:
    net = sc.Sequential(sc.Conv1d(2, 5, 3, padding="causal"), nn.GELU())
    double, ours = (sc.describe(net.to(kind), 100) for kind in (torch.float32, dtype))
    for name in ("forward_bytes", "input_bytes"):
        assert getattr(ours, name) / getattr(double, name) == dtype.itemsize / 4
    for name in ("activation_bytes", "peak_bytes", "training_bytes", "state_bytes"):
        assert getattr(ours.total, name) / getattr(double.total, name) == dtype.itemsize / 4


STREAMS = ("full", "full-causal", "logmel", "kaldi-mfcc", "wavenet-encoder", "conformer-front", "wav2vec2-large")


@pytest.mark.parametrize("name", STREAMS)
def test_the_state_is_what_a_stream_really_holds(name: str) -> None:
    pipe = sc.Pipeline.from_preset(name)
    if name == "wav2vec2-large":
        pipe.calibrate(torch.randn(1, 16000))
    state = sc.Streamer(pipe).init(batch=1)
    tensors = (*state.memories, state.age, state.remain)
    sheet = sc.describe(pipe, 1600)
    assert sheet.state_bytes == sum(tensor.nbytes for tensor in tensors)
    assert sheet.total.state_bytes == sum(stage.state_bytes or 0 for stage in sheet.stages)


def test_each_layer_has_its_share_of_the_state() -> None:
    net = sc.Sequential(
        sc.Conv1d(2, 4, 5, padding="causal"),
        nn.ReLU(),
        sc.Parallel(sc.Conv1d(4, 3, 3, padding="same"), sc.Conv1d(4, 1, 1), join="cat"),
        sc.PCEN(),
    )
    conv, relu, pair, pcen = sc.describe(net, 50).stages
    assert [stage.state_bytes for stage in (conv, relu, pcen)] == [4 * 2 * 4, 0, 4 * 8]
    assert pair.state_bytes == 2 * 4 * 4 + 1 * 4 * 4  # history of one branch; the other waits a frame
    assert [part.state_bytes for part in pair.parts] == [2 * 4 * 4, 4 * 4]


def test_what_cannot_stream_has_no_state() -> None:
    sheet = sc.describe(sc.Pipeline.from_preset("nemo-mel"))
    assert sheet.state_bytes is sheet.total.state_bytes is None
    assert sc.describe(nn.Conv1d(1, 1, 1), (1, 5)).state_bytes is None
