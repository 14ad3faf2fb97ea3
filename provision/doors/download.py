"""Whole files over the network: resumed where an earlier run stopped, checked by their hash."""

from __future__ import annotations

import functools
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from provision.doors import addresses, digest, parts, remote_file
from provision.errors import SourceFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CHANGED = "the index or a proxy changed it; use --upgrade to resolve again, or a mirror"


def is_complete(path: Path, sha256: str) -> bool:
    """Return whether the file exists with this content; every byte is read."""
    try:
        return parts.sha256(path) == sha256
    except OSError:
        return False


def size(url: str, connection: addresses.Connection) -> int:
    """Return the size of a file, 0 if its source does not tell it."""
    if local := _local(url):
        try:
            return sum(part.stat().st_size for part in parts.paths(local))
        except OSError:
            return 0
    return remote_file.content_length(url, connection)


def download(
    url: str,
    sha256: str,
    path: Path,
    count: Callable[[int], None],
    connection: addresses.Connection,
    size: int = 0,
) -> None:
    """Fetch a file to `path`, of at most `size` bytes where that is known.

    `count` is called with the size of every piece and may raise to stop the download. An empty
    `sha256` accepts the content of the source; the caller then records its hash.
    Raise SourceFailed if the source fails, OSError if the file cannot be written. The bytes that
    arrived stay for the next try.
    """
    part = parts.partial_path(path, sha256)
    continued = part.exists()
    fetch = functools.partial(_fetch, url, part, count, connection, size)
    if fetch() != sha256 and sha256:
        count(-_remove(part))
        # The first part may have been damaged on the disk, so a continued file gets a second try.
        # A file that came in one piece is what the source has.
        if not continued or fetch() != sha256:
            count(-_remove(part))
            raise SourceFailed(
                "its content does not match the locked SHA-256",
                where=addresses.scrubbed(url),
                hint=_CHANGED,
            )
    os.replace(part, path)


def _local(url: str) -> Path | None:
    """Return the path of a file:// address, None for any other address."""
    address = urlsplit(url)
    return Path(unquote(address.path)) if address.scheme == "file" else None


def _remove(part: Path) -> int:
    try:
        size = part.stat().st_size
        part.unlink()
    except FileNotFoundError:
        return 0
    return size


def _fetch(
    url: str, part: Path, count: Callable[[int], None], connection: addresses.Connection, most: int
) -> str:
    with part.open("a+b") as target:
        if local := _local(url):
            target.truncate(0)  # a local copy is fast: no part of it is worth continuing
        target.seek(0)
        hasher = digest.of_pieces(iter(functools.partial(target.read, remote_file.CHUNK), b""))
        count(target.tell())
        remote = remote_file.RemoteFile(url, connection)
        for piece in _read(local) if local else remote.pieces(target.tell()):
            if piece is None:
                count(-target.tell())
                target.seek(0)
                target.truncate()
                hasher = hashlib.sha256()
                continue
            if most and target.tell() + len(piece) > most:
                target.truncate(0)
                raise SourceFailed(
                    f"sends more than the {most} bytes that the lock names",
                    where=addresses.scrubbed(url),
                    hint=_CHANGED,
                )
            count(len(piece))  # before writing: a stopped download must not write any more
            target.write(piece)
            hasher.update(piece)
        return hasher.hexdigest()


def _read(source: Path) -> Iterator[bytes]:
    try:
        yield from parts.read(source)
    except OSError as error:
        raise SourceFailed(
            f"cannot be read: {error.strerror}",
            where=str(source),
            hint="check that the folder is mounted and readable, then retry with the same command",
        ) from None
