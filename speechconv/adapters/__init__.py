"""Other toolkits: their weights in, our interface out. One file a toolkit, imported only by name:

    from speechconv.adapters import huggingface, torchaudio

What they share, for checkpoints of wav2vec 2.0 and its kin: `checkpoint` reads files, `names` says which tensor is
which of ours, `wav2vec2` builds the pipeline, `fit` puts tensors in or lists what does not fit.
"""

from __future__ import annotations

import importlib
from types import ModuleType

__all__ = ["huggingface", "torchaudio"]  # pyright: ignore[reportUnsupportedDunderAll] - imported when first asked for


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; the toolkits are {', '.join(__all__)}.")
