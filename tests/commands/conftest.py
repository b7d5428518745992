"""What several commands are tried on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.adapters.models import transformers_model


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A folder as transformers saves it, and the model that it holds: the layer-norm layout, small."""
    torch.manual_seed(0)
    model = transformers_model("large")
    folder = tmp_path_factory.mktemp("checkpoint")
    model.save_pretrained(folder)
    return folder, model
