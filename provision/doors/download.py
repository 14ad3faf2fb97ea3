"""Whole files over the network: resumed where an earlier run stopped, checked by their hash."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from provision.doors import addresses, digest, parts, remote_file
from provision.errors import SourceFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from io import BufferedRandom

_WAIT_S = 0.1
_MOST = 16 * 2**30  # of a file whose size nobody has told
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
    """Fetch a file to `path`, of at most `size` bytes, or of 16 GiB if that is not known.

    `count` is called with the size of every piece and may raise to stop the download. An empty
    `sha256` accepts the content of the source; the caller then records its hash.
    Raise SourceFailed if the source fails, OSError if the file cannot be written. The bytes that
    arrived stay for the next try.
    """
    part = parts.partial_path(path, sha256)
    with _open_alone(part, count) as target:
        if path.exists() and is_complete(path, sha256):
            part.unlink()  # another process has just fetched the file
            return
        fetch = functools.partial(_fetch, url, target, count, connection, size or _MOST)
        continued = os.fstat(target.fileno()).st_size > 0
        if fetch() != sha256 and sha256:
            # The first part may have been damaged on the disk, so a continued file gets a second
            # try. A file that came in one piece is what the source has.
            count(-_empty(target))
            if not continued or fetch() != sha256:
                count(-_empty(target))
                part.unlink()
                raise SourceFailed(
                    "its content does not match the locked SHA-256",
                    where=addresses.scrubbed(url),
                    hint=_CHANGED,
                )
        target.flush()
        os.replace(part, path)


@contextlib.contextmanager
def _open_alone(part: Path, count: Callable[[int], None]) -> Iterator[BufferedRandom]:
    """Open an unfinished download under a kernel lock, because prefixes may share one store.

    `count` may raise to stop waiting for the process that holds it.
    """
    while True:
        with part.open("a+b") as target:
            while _is_locked(target):
                count(0)
                time.sleep(_WAIT_S)
            # The process before may have renamed or removed the file that was opened here.
            if _same_file(target, part):
                yield target
                return


def _is_locked(target: BufferedRandom) -> bool:
    try:
        fcntl.flock(target, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # this file system has no locks
    return False


def _same_file(target: BufferedRandom, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(target.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _local(url: str) -> Path | None:
    """Return the path of a file:// address, None for any other address."""
    address = urlsplit(url)
    return Path(unquote(address.path)) if address.scheme == "file" else None


def _empty(target: BufferedRandom) -> int:
    """Remove the content; return how long it was."""
    size = target.seek(0, os.SEEK_END)
    target.truncate(0)
    return size


def _fetch(
    url: str,
    target: BufferedRandom,
    count: Callable[[int], None],
    connection: addresses.Connection,
    most: int,
) -> str:
    if local := _local(url):
        target.truncate(0)  # a local copy is fast: no part of it is worth continuing
    target.seek(0)
    hasher = digest.of_pieces(iter(functools.partial(target.read, remote_file.CHUNK), b""))
    count(target.tell())
    remote = remote_file.RemoteFile(url, connection)
    for piece in _read(local) if local else remote.pieces(target.tell()):
        if piece is None:
            count(-_empty(target))
            hasher = hashlib.sha256()
            continue
        if target.tell() + len(piece) > most:
            target.truncate(0)
            raise SourceFailed(
                f"sends more than the {most} bytes that are expected",
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
