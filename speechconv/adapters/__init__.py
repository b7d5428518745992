"""Other toolkits: their weights in, our interface out. One name a toolkit, imported when it is asked for:

    from speechconv.adapters import huggingface, torchaudio                     weights in, encoders out
    from speechconv.adapters import speechbrain, espnet, nemo, lhotse           encoders out

What the way out shares, and what a pipeline promises as a plain nn.Module: `plug`.
What the way in shares, for checkpoints of wav2vec 2.0 and its kin: `checkpoint` reads files, `names` says which tensor
is which of ours, `wav2vec2` builds the pipeline, `fit` puts tensors in or lists what does not fit.
"""

from __future__ import annotations

import importlib
from types import ModuleType

# Imported when first asked for, which pyright cannot see.
# pyright: reportUnsupportedDunderAll=false
__all__ = ["espnet", "huggingface", "lhotse", "nemo", "speechbrain", "torchaudio"]


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; the toolkits are {', '.join(__all__)}.")
