"""Ids as a file system or a store can hold them, and back: what it cannot is percent-encoded, and so is % itself.

../up  ->  %2E%2E/up        a//b  ->  a/%2Fb        50%  ->  50%25        a name of 201 bytes  ->  200 bytes, %/+, 1
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import unquote_to_bytes

TEMPORARY = ".speechconv-"
"""How the names of our own hidden files begin."""

LONGEST = 200
"""Bytes of a file's or a folder's name; file systems hold 255, and a suffix has to fit too."""

CONTINUED = "%/+"
"""Between the pieces of a name that is longer. Nothing else makes a % that no two digits follow."""


def encode(text: str, holds: Callable[[str], bool]) -> str:
    """`text` with each character that `holds` refuses, and each %, as the percent-encoded bytes of its UTF-8.

    >>> encode("a b%", str.isalnum)
    'a%20b%25'
    """
    return "".join(char if char != "%" and holds(char) else _percent(char) for char in text)


def decode(text: str) -> str:
    """What `encode` or, apart from the suffix, `file_name` was given.

    >>> decode("a%20b%25")
    'a b%'
    """
    whole = text.replace(CONTINUED, "")
    return unquote_to_bytes(whole.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")


def is_text(char: str) -> bool:
    """True for what UTF-8 can hold: all but the bytes of a file's name that were none."""
    return not "\ud800" <= char <= "\udfff"


def file_name(id: str, suffix: str, holds: Callable[[str], bool] | None = None) -> str:
    """The relative path of a file for `id`: below the folder it is joined to, whatever the id says.

    No path is a folder in another id's path, and none has a part too long for a file system.

    >>> file_name("a/b c", ".npy"), file_name("../../etc/x", ".npy"), file_name("x.npy/y", ".npy")
    ('a/b c.npy', '%2E%2E/%2E%2E/etc/x.npy', 'x%2Enpy/y.npy')
    """
    *folders, last = (_own_component(part) for part in encode(id, holds or _on_disk).split("/"))
    if folders and not last:
        last = f"{folders.pop()}%2F"
    path = "".join(f"{_not_a_file(folder, suffix)}/" if folder else "%2F" for folder in folders) + last
    return "/".join(CONTINUED.join(_pieces(part)) for part in path.split("/")) + suffix


def _own_component(name: str) -> str:
    """A name that leads to no other folder and is none of ours."""
    if name and not name.strip("."):
        return _percent(name)
    return f"%2E{name[1:]}" if name.startswith(TEMPORARY) else name


def _not_a_file(folder: str, suffix: str) -> str:
    """A folder's name that no file of ours can have."""
    stem = folder.removesuffix(suffix)
    return folder if stem == folder else f"{stem}{_percent(suffix[0])}{suffix[1:]}"


def _pieces(name: str) -> Iterator[str]:
    """A name in pieces of no more than LONGEST bytes; characters and percent-encoded bytes stay whole."""
    while len(name.encode("utf-8", "surrogateescape")) > LONGEST:
        end = LONGEST
        while len(name[:end].encode("utf-8", "surrogateescape")) > LONGEST:
            end -= 1
        end -= next((back for back in (1, 2) if name[end - back] == "%"), 0)
        yield name[:end]
        name = name[end:]
    yield name


def _percent(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in _bytes(text))


def _bytes(text: str) -> bytes:
    """Half a surrogate pair, which only JSON can hold, comes back as three bytes that are no UTF-8."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _on_disk(char: str) -> bool:
    """True for what a file's name can hold: a byte that is no UTF-8, too, but neither NUL nor half a surrogate pair."""
    return char != "\0" and (is_text(char) or "\udc80" <= char <= "\udcff")
