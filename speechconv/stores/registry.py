"""The stores by name, and by the suffix of their files."""

from __future__ import annotations

from speechconv.checks import check_choice
from speechconv.stores.hdf5 import HDF5
from speechconv.stores.kaldi_ark import KALDI
from speechconv.stores.npy_tree import NPY
from speechconv.stores.parquet import PARQUET
from speechconv.stores.safetensors_shard import SAFETENSORS
from speechconv.stores.store import Store
from speechconv.stores.webdataset_tar import TAR

STORES: dict[str, Store] = {store.name: store for store in (NPY, KALDI, HDF5, TAR, SAFETENSORS, PARQUET)}


def store_named(name: str) -> Store:
    """A store by its name.

    Raises:
        ValueError: there is none of that name.
    """
    check_choice("store", name, tuple(STORES))
    return STORES[name]


def store_of(path: str) -> Store:
    """The store that wrote a file, by the file's suffix.

    Raises:
        ValueError: none has it.

    >>> store_of("a/features-000000.ark").name
    'kaldi'
    """
    for store in STORES.values():
        if path.endswith(store.suffix):
            return store
    suffixes = ", ".join(store.suffix for store in STORES.values())
    raise ValueError(f"{path} belongs to no store; expected a file that ends in one of {suffixes}.")
