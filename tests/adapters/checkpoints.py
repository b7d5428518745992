"""What the tests of huggingface.load share: both layouts and their stages, a waveform, a model in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import speechconv as sc

each_layout = pytest.mark.parametrize("layout", ["base", "large"])

BASE = ["encoder", "projection_norm", "projection", "positional", "transformer_norm"]
LARGE = ["normalize", "encoder", "projection_norm", "projection", "positional"]


def stages(pipe: sc.Pipeline) -> list[str]:
    return [name for name, _ in pipe.named_children()]


def speech(seconds: float = 0.25, dtype: torch.dtype = torch.float32) -> Tensor:
    """Two rows of noise with an offset, as loud as speech."""
    return 0.1 * torch.randn(2, int(16000 * seconds), dtype=dtype) + 0.02


def saved(model: Any, folder: Path, **settings: Any) -> Path:
    model.save_pretrained(folder, **settings)
    return folder
