"""Shared by all tests: Hypothesis settings, one torch thread, and the folders that tests read."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parent.parent

# Shared machines stall, so no deadline. CI draws the same examples every time; a developer's run draws new ones.
settings.register_profile(
    "speechconv",
    deadline=None,
    max_examples=int(os.environ.get("SPEECHCONV_EXAMPLES", "100")),
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
settings.load_profile("speechconv")
torch.set_num_threads(1)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems() -> None:
    """SpeechBrain's lazy modules import what is not installed as soon as anyone asks for their file, and Hypothesis
    asks every module that is loaded. So tell it that there is none."""
    if "speechbrain" in sys.modules:
        from speechbrain.utils.importutils import LazyModule

        for module in list(sys.modules.values()):
            if issubclass(type(module), LazyModule):
                vars(module)["__file__"] = None


@pytest.fixture(autouse=True)
def _alike() -> Iterator[None]:
    """Every test begins with the same numbers, and leaves torch the one thread that it found, for the next one and for
    the fixtures of a module, which are made before this one."""
    torch.manual_seed(0)
    yield
    torch.set_num_threads(1)


@pytest.fixture
def audio_samples() -> Path:
    """The project's own sounds."""
    return ROOT / "audio_samples"


@pytest.fixture
def real_speech() -> Path:
    """Recordings of real speech; without them the test is skipped and says why."""
    folder = os.environ.get("SPEECHCONV_FSDD")
    if not folder:
        pytest.skip("SPEECHCONV_FSDD does not name a folder of spoken digits (its twin on audio_samples/ runs)")
    return Path(folder) / "recordings"
