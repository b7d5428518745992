"""The package itself: instant to import, every public name in one place."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from types import ModuleType

import pytest

import speechconv as sc

HEAVY = ("torch", "torchaudio", "librosa", "numpy", "scipy", "soundfile", "soxr", "matplotlib", "safetensors", "tqdm")


def imported(statement: str) -> set[str]:
    """Top-level modules that a fresh Python holds after `statement`."""
    code = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_imports_nothing_heavy() -> None:
    assert not imported("import speechconv").intersection(HEAVY)
    assert not imported("import speechconv; dir(speechconv); speechconv.__version__; speechconv.__all__").intersection(
        HEAVY
    )


def test_neither_a_front_end_nor_an_adapter_loads_torchaudio_or_a_toolkit_until_it_is_used() -> None:
    front_end = "import speechconv as sc; sc.Pipeline.from_preset('logmel').stream()"
    loaded = imported(f"{front_end}; sc.adapters.huggingface.load; sc.adapters.torchaudio.load_conformer")
    assert "torch" in loaded
    assert not loaded.intersection(("torchaudio", "librosa", "matplotlib", "transformers", "huggingface_hub"))


@pytest.mark.parametrize("name", sc.__all__)
def test_every_public_name_is_the_same_object_each_time(name: str) -> None:
    sc.__dict__.pop(name, None)
    first = getattr(sc, name)
    assert getattr(sc, name) is first
    assert first is getattr(importlib.import_module(f"speechconv.{sc._HOME[name]}"), name)
    assert not isinstance(first, ModuleType)
    assert name in dir(sc)


def test_the_list_of_names_is_the_list_of_homes() -> None:
    assert sorted(sc.__all__) == sorted(name for names in sc._HOMES.values() for name in names)
    assert len(set(sc.__all__)) == len(sc.__all__)
    assert sc._HOME.keys() == set(sc.__all__)


def test_no_module_bears_the_name_of_a_public_function() -> None:
    """Its import would replace the function."""
    homes = {part for home in sc._HOMES for part in home.split(".")}
    assert not homes.intersection(sc.__all__)


def test_the_map_in_the_docstring_names_every_home() -> None:
    shown = set(re.findall(r"^    (\w+)  ", sc.__doc__ or "", re.MULTILINE))
    assert {home.partition(".")[0] for home in sc._HOMES} - {"streamer", "cost"} <= shown


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"^module 'speechconv' has no attribute 'ConvSTF'$"):
        sc.ConvSTF  # noqa: B018 - looking it up is the test
    with pytest.raises(ImportError, match="cannot import name 'ConvSTF'"):
        from speechconv import ConvSTF  # noqa: F401 - importing it is the test
