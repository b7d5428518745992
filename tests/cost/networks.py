"""Networks whose costs are published, in plain torch; built on the meta device, they take no memory."""

from __future__ import annotations

import torch
from torch import Tensor, nn

VGG16 = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M")
MOBILENET = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
"""Channels and stride of each separable layer."""


def vgg16(*, inplace: bool = True) -> nn.Sequential:
    """Simonyan and Zisserman 2014, configuration D."""
    layers: list[nn.Module] = []
    channels = 3
    with torch.device("meta"):
        for step in VGG16:
            if isinstance(step, str):
                layers.append(nn.MaxPool2d(2))
                continue
            layers += [nn.Conv2d(channels, step, 3, padding=1), nn.ReLU(inplace)]
            channels = step
        head: list[nn.Module] = [nn.Flatten(), nn.Linear(7 * 7 * 512, 4096)]
        head += [nn.ReLU(inplace), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(inplace), nn.Dropout()]
        return nn.Sequential(nn.Sequential(*layers), *head, nn.Linear(4096, 1000))


def alexnet() -> nn.Sequential:
    """Krizhevsky, Sutskever and Hinton 2012; 227 x 227, as the arithmetic asks, where the paper has 224."""
    with torch.device("meta"):
        return nn.Sequential(
            nn.Conv2d(3, 96, 11, stride=4),
            nn.ReLU(),
            nn.LocalResponseNorm(5),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(96, 256, 5, padding=2, groups=2),
            nn.ReLU(),
            nn.LocalResponseNorm(5),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(256, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 384, 3, padding=1, groups=2),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1, groups=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Flatten(),
            nn.Linear(6 * 6 * 256, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, 1000),
        )


class SomeMaps(nn.Module):
    """LeNet-5's C3: each map sees some maps of the layer below, by table I of the paper."""

    SEEN = (
        *((i, (i + 1) % 6, (i + 2) % 6) for i in range(6)),
        *((i, (i + 1) % 6, (i + 2) % 6, (i + 3) % 6) for i in range(6)),
        *((i, (i + 1) % 6, (i + 3) % 6, (i + 4) % 6) for i in range(3)),
        tuple(range(6)),
    )

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.ModuleList(nn.Conv2d(len(seen), 1, 5) for seen in self.SEEN)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([conv(x[:, seen]) for conv, seen in zip(self.maps, self.SEEN, strict=True)], 1)


def lenet5() -> nn.Sequential:
    """LeCun et al. 1998, without the two numbers that each of its subsampling maps learns."""
    parts: dict[str, nn.Module] = {
        "C1": nn.Conv2d(1, 6, 5),
        "S2": nn.AvgPool2d(2),
        "squash2": nn.Tanh(),
        "C3": SomeMaps(),
        "S4": nn.AvgPool2d(2),
        "squash4": nn.Tanh(),
        "C5": nn.Conv2d(16, 120, 5),
        "squash5": nn.Tanh(),
        "flat": nn.Flatten(),
        "F6": nn.Linear(120, 84),
    }
    net = nn.Sequential()
    for name, part in parts.items():
        net.add_module(name, part)
    return net


def mobilenet(*, separable: bool) -> nn.Sequential:
    """Howard et al. 2017, table 1; with full convolutions, their "Conv MobileNet"."""
    with torch.device("meta"):
        layers: list[nn.Module] = [*_conv(3, 32, stride=2)]
        channels = 32
        for filters, stride in MOBILENET:
            if separable:
                layers += [
                    *_conv(channels, channels, stride=stride, groups=channels),
                    *_conv(channels, filters, size=1),
                ]
            else:
                layers += _conv(channels, filters, stride=stride)
            channels = filters
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1024, 1000))


def _conv(channels: int, filters: int, *, size: int = 3, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(channels, filters, size, stride=stride, padding=size // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(filters), nn.ReLU()]
