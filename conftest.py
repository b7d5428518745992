"""Adapters of toolkits with a venv of their own are collected only where these are installed: make test-toolkits."""

from __future__ import annotations

import warnings
from importlib import import_module
from importlib.util import find_spec

TOOLKITS = {"espnet": "espnet2.asr.espnet_model", "nemo": "nemo.collections.asr"}

collect_ignore = []
for adapter, module in TOOLKITS.items():
    if not find_spec(module.partition(".")[0]):
        collect_ignore.append(f"speechconv/adapters/{adapter}.py")
        continue
    with warnings.catch_warnings():  # what they warn of while they load is theirs
        warnings.simplefilter("ignore")
        import_module(module)
