"""File digests: the one loop that reads a file in pieces and hashes it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from os import PathLike

_CHUNK: Final = 1024 * 1024


def pieces(path: str | PathLike[str]) -> Iterator[bytes]:
    with open(path, "rb", buffering=0) as stream:
        while piece := stream.read(_CHUNK):
            yield piece


def of_pieces(content: Iterable[bytes], algorithm: str = "sha256") -> hashlib._Hash:
    """Return the hash of a content that comes in pieces."""
    hasher = hashlib.new(algorithm)
    for piece in content:
        hasher.update(piece)
    return hasher


def of_file(path: str | PathLike[str], algorithm: str = "sha256") -> hashlib._Hash:
    return of_pieces(pieces(path), algorithm)
