"""Ids as a file system or a store can hold them, and back: what it cannot is percent-encoded, and so is % itself.

    ../up  ->  %2E%2E/up        a//b  ->  a/%2Fb        50%  ->  50%25
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote_to_bytes

TEMPORARY = ".speechconv-"
"""How the names of our own hidden files begin."""


def encode(text: str, holds: Callable[[str], bool]) -> str:
    """`text` with each character that `holds` refuses, and each %, as the percent-encoded bytes of its UTF-8.

    >>> encode("a b%", str.isalnum)
    'a%20b%25'
    """
    return "".join(char if char != "%" and holds(char) else _percent(char) for char in text)


def decode(text: str) -> str:
    """What `encode` was given.

    >>> decode("a%20b%25")
    'a b%'
    """
    return unquote_to_bytes(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")


def file_name(id: str, suffix: str) -> str:
    """The relative path of a file for `id`: below the folder it is joined to, whatever the id says.

    >>> file_name("a/b c", ".npy"), file_name("../../etc/x", ".npy")
    ('a/b c.npy', '%2E%2E/%2E%2E/etc/x.npy')
    """
    *folders, last = map(_own_component, encode(id, lambda char: char != "\0").split("/"))
    return "".join(f"{folder}/" if folder else "%2F" for folder in folders) + last + suffix


def _own_component(name: str) -> str:
    """A name that leads to no other folder and is none of ours."""
    if name and not name.strip("."):
        return _percent(name)
    return f"%2E{name[1:]}" if name.startswith(TEMPORARY) else name


def _percent(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogateescape"))
