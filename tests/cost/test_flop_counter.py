"""Multiply-adds against torch's flop counter, which sees the operations that really run."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

import speechconv as sc
from speechconv.presets import preset_names

PIPELINES = {
    "learned stfts": lambda: [
        sc.Parallel(
            *(sc.ConvSTFT(64, hop_length=20, learn=learn, output="power") for learn in ("delta", "freq", "free")),
            sc.ConvSTFT(64, hop_length=20, learn="window", output="power"),
            join="product",
        )
    ],
    "kaldi deltas": lambda: [*mels(), sc.Deltas(2, width=5)],
    "librosa deltas": lambda: [*mels(), sc.Deltas(1, width=9, rule="librosa-interp"), sc.StackFrames(3)],
    "pcen": lambda: [*mels(), sc.PCEN(), sc.SlidingCMVN(window=9, min_window=3)],
    "subsampled": lambda: [*mels(), sc.ConvSubsampling(8, in_channels=10, kind="depthwise", factor=8)],
    "normalised": lambda: [sc.Normalize(), *mels(), sc.DCT(7, n_mels=10), sc.CMVN(7)],
    "cumulative": lambda: [sc.FeatureEncoder(channels=8, group_norm="cumulative"), sc.CumulativeNorm(8)],
    "grouped": lambda: [
        *mels(),
        sc.Conv1d(10, 20, 5, stride=2, dilation=3, groups=5, padding="causal"),
        sc.Residual(sc.ConvPositionalEmbedding(20, kernel_size=8, groups=4), scale=0.5),
    ],
    "conditioned": lambda: [
        *mels(),
        sc.WaveNetStack(6, kernel_size=3, dilations=(1, 2, 4), skip_channels=9, condition_channels=4, causal=False),
    ],
    "companded": lambda: [sc.MuLaw(), sc.Preemphasis(), sc.WaveNetEncoder(channels=6, residual_channels=4)],
}


def mels() -> list[nn.Module]:
    return [sc.ConvSTFT(64, hop_length=20, output="power"), sc.Mel(10, sample_rate=8000, n_fft=64), sc.Log()]


class FFTs(TorchDispatchMode):
    """Counts the frames that go through a real FFT."""

    frames = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        y = func(*args, **(kwargs or {}))
        if func is torch.ops.aten._fft_r2c.default:
            self.frames += y.numel() // y.shape[-1]
        return y


def operations(module: nn.Module, x: Tensor) -> int:
    """By torch's counter, with a graph: without one, tiles overlap, and short inputs take another way."""
    with FlopCounterMode(display=False) as counter:
        module(x)
    return counter.get_total_flops()


@pytest.mark.filterwarnings("ignore:4 of 128 mel bands hold no FFT bin")  # torchaudio's own default bank
@pytest.mark.parametrize("name", preset_names())
def test_every_preset_multiplies_as_torch_counts(name: str) -> None:
    """It does not count FFTs; there, as many frames are transformed as the sheet says."""
    pipe = sc.Pipeline.from_preset(name)
    x = torch.randn(1, pipe.sample_rate)
    sheet = sc.describe(pipe)
    assert 2 * sheet.total.products == operations(pipe, x)
    with FFTs() as ffts:
        pipe(x)
    rows = [row for row in sheet.total.walk() if row.transforms and not row.parts]
    assert ffts.frames == sum(row.shape[0] for row in rows)
    assert not sheet.unknown


@pytest.mark.parametrize("num_samples", [513, 3001])
@pytest.mark.parametrize("name", PIPELINES)
def test_every_layer_multiplies_as_torch_counts(name: str, num_samples: int) -> None:
    pipe = sc.Pipeline(PIPELINES[name](), sample_rate=8000).eval()
    sheet = sc.describe(pipe, num_samples)
    assert 2 * sheet.total.products == operations(pipe, torch.randn(1, num_samples))
    assert sheet.total.products == sum(stage.products for stage in sheet.stages) > 0
    assert not sheet.unknown


def test_a_second_costs_what_torch_counts_for_one_more() -> None:
    """64 strides of seconds more, so that whole frames and PCEN's blocks of 64 are added; the rate divides neither."""
    pipe = sc.Pipeline(
        [sc.ConvSTFT(8, hop_length=3, learn="free", output="power"), sc.Conv1d(5, 7, 3, stride=2), sc.Log(), sc.PCEN()],
        sample_rate=61,
    )
    rate = sc.describe(pipe).total.multiply_adds_per_second
    seconds = 64 * pipe.hop_length
    short, long = (operations(pipe, torch.rand(1, samples)) for samples in (500, 500 + seconds * 61))
    assert rate == (long - short) / 2 / seconds


def test_a_real_fft_counts_as_fftw_counts_it() -> None:
    """fftw.org/speed/method.html: 2.5 N log2 N operations of a real transform."""
    sheet = sc.describe(sc.ConvSTFT(512, hop_length=160, center=False), 512)
    assert 2 * sheet.total.transforms == 2.5 * 512 * 9
    assert sheet.total.products == 0


def test_modules_of_torch_multiply_as_torch_counts() -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 6, (3, 5), stride=(2, 1), padding=(1, 2), groups=1),
        nn.GroupNorm(2, 6),
        nn.Conv2d(6, 12, 3, dilation=2, groups=3, padding="same"),
        nn.MaxPool2d(2),
        nn.Flatten(1, 2),
        nn.Conv1d(12 * 5, 9, 4, bias=False),
        nn.utils.parametrizations.weight_norm(nn.Conv1d(9, 4, 3)),
        nn.GELU(),
        nn.Linear(5, 3),
    )
    sheet = sc.describe(net, (1, 20, 20))
    assert 2 * sheet.total.products == operations(net, torch.randn(1, 1, 20, 20))
    assert not sheet.unknown


class FoldedFrames(nn.Module):
    """A convolution over the bands of each frame, and a layer of speechconv: frames are a batch to both."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.ours, self.head = nn.Conv1d(1, 4, 3), sc.ConvBlock(4, 6, 3, stride=2), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        bands = self.conv(x.flatten(0, 1).unsqueeze(1))
        return self.head(self.ours(bands.mT).mean(1)).unflatten(0, x.shape[:2])


class TimeFirst(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.transpose(0, 1)).transpose(0, 1)


@pytest.mark.parametrize(
    ("net", "shape", "shapes"),
    [
        (FoldedFrames(), (9, 10), [(9, 4, 8), (9, 4, 6), (9, 2)]),
        (TimeFirst(), (9, 10), [(9, 1, 3)]),
        (nn.Sequential(nn.Conv1d(1, 8, 5)), (50,), [(8, 46)]),  # torch takes the batch of 1 for the channel
        (nn.Sequential(nn.Conv2d(1, 8, 3), nn.Flatten(0), nn.Linear(8 * 26, 2)), (3, 28), [(8, 1, 26), (208,), (2,)]),
    ],
    ids=["frames in the batch", "time first", "no batch", "no batch, picture"],
)
def test_a_first_axis_that_is_no_batch_of_one_counts(
    net: nn.Module, shape: tuple[int, ...], shapes: list[tuple[int, ...]]
) -> None:
    net.eval()
    sheet = sc.describe(net, shape)
    assert 2 * sheet.total.products == operations(net, torch.randn(1, *shape))
    assert [stage.shape for stage in sheet.stages] == shapes
