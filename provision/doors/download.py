"""Large files over the network: taken up again where they stopped, however they stopped, and held to their hash."""

from __future__ import annotations

import hashlib
import os
import re
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

import requests  # noqa: TID251 - part of the network's door
import urllib3

from provision.doors import parts, sessions
from provision.errors import SourceFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CHUNK: Final = 1024 * 1024
_IN_VAIN: Final = 5  # starts in a row that brought less than a chunk
_PAUSE_S: Final = 0.5
_WINDOW_S: Final = 30.0  # a connection that brings next to nothing for so long is given up, as a silent one is
_LEAST_RATE: Final = 1_000  # bytes a second
_FAULTS: Final = (requests.RequestException, urllib3.exceptions.HTTPError, TimeoutError, ConnectionError)


def is_there(path: Path, sha256: str) -> bool:
    """Whether a file lies there with this content; every byte of it is read."""
    try:
        return parts.sha256(path) == sha256
    except OSError:
        return False


def size(url: str, connection: sessions.Connection) -> int:
    """How many bytes a file has; 0 where its source does not say."""
    address = urlsplit(url)
    try:
        if address.scheme == "file":
            return sum(part.stat().st_size for part in parts.of(Path(unquote(address.path))))
        with sessions.session(url, connection) as session:
            timeout = (sessions.CONNECT_S, sessions.CONNECT_S)
            answer = session.head(url, headers={"Accept-Encoding": "identity"}, timeout=timeout, allow_redirects=True)
            return int(answer.headers.get("Content-Length", 0)) if answer.ok else 0
    except (requests.RequestException, OSError, ValueError):
        return 0


def download(url: str, sha256: str, path: Path, came: Callable[[int], None], connection: sessions.Connection) -> None:
    """Have the file there, whole. `came` hears of every piece how many bytes it has, and may raise to stop.

    Where nobody says what its hash must be ("") it is what its source has; the caller looks at it and records it.

    SourceFailed where it cannot be had, OSError where it cannot be written; what has come stays for the next time.
    """
    part = parts.begun(path, sha256)
    begun = part.exists()
    if _fetched(url, part, came, connection) != sha256 and sha256:
        came(-_removed(part))
        # What was begun may have been damaged on the disk; what came in one piece is what the source has.
        if not begun or _fetched(url, part, came, connection) != sha256:
            came(-_removed(part))
            raise SourceFailed(
                "its content is not the one that was locked",
                where=sessions.scrubbed(url),
                hint="the index or a proxy has changed it; --upgrade resolves anew, or name a mirror",
            )
    os.replace(part, path)


def _removed(part: Path) -> int:
    """How many bytes are gone with it."""
    try:
        size = part.stat().st_size
        part.unlink()
    except FileNotFoundError:
        return 0
    return size


def _fetched(url: str, part: Path, came: Callable[[int], None], connection: sessions.Connection) -> str:
    """The hash of what is there in the end."""
    with part.open("a+b") as target:
        if urlsplit(url).scheme == "file":
            target.truncate(0)  # no line to be slow: from the beginning
            return _copied(Path(unquote(urlsplit(url).path)), target, came)
        target.seek(0)
        digest = _digest(target)
        came(target.tell())
        source = _Source(url, connection)
        in_vain = 0
        while True:
            before = target.tell()
            try:
                for piece in source.pieces(before):
                    if piece is None:  # it sends the file from its beginning
                        _empty(target, came)
                        digest = hashlib.sha256()
                        continue
                    came(len(piece))  # before it is written: what was stopped writes no more
                    target.write(piece)
                    digest.update(piece)
            except _FAULTS as error:
                in_vain = 0 if target.tell() - before >= _CHUNK else in_vain + 1
                if in_vain == _IN_VAIN:
                    raise source.failed(f"{sessions.reason(error)}, {_IN_VAIN} times in a row") from None
                time.sleep(_PAUSE_S * in_vain)
                came(0)
            else:
                return digest.hexdigest()


def _empty(target: IO[bytes], came: Callable[[int], None]) -> None:
    came(-target.tell())
    target.seek(0)
    target.truncate()


def _copied(source: Path, target: IO[bytes], came: Callable[[int], None]) -> str:
    digest = hashlib.sha256()
    pieces = parts.read(source)
    while True:
        try:
            piece = next(pieces, b"")
        except OSError as error:
            raise SourceFailed(f"cannot be read: {error.strerror}", where=str(source)) from None
        if not piece:
            return digest.hexdigest()
        target.write(piece)
        digest.update(piece)
        came(len(piece))


def _digest(stream: IO[bytes]) -> hashlib._Hash:
    digest = hashlib.sha256()
    while piece := stream.read(_CHUNK):
        digest.update(piece)
    return digest


class _Source:
    """One remote file, from any byte on."""

    def __init__(self, url: str, connection: sessions.Connection) -> None:
        self._url = url
        self._session = sessions.session(url, connection)
        self._size = 0

    def pieces(self, start: int) -> Iterator[bytes | None]:
        """The rest of the file; None where the source begins at its beginning all the same."""
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        timeout = (sessions.CONNECT_S, sessions.SILENCE_S)
        with self._session.get(self._url, headers=headers, stream=True, timeout=timeout) as response:
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                return  # nothing is left; the hash says whether what is there is the file
            if start and response.status_code == requests.codes.ok:
                yield None
                start = 0
            left = self._length(response, start)
            window, since = 0, time.monotonic()
            while piece := response.raw.read1(_CHUNK, decode_content=False):
                left -= len(piece)
                window += len(piece)
                yield piece
                if (now := time.monotonic()) - since > _WINDOW_S:
                    if window < _LEAST_RATE * _WINDOW_S:
                        raise TimeoutError
                    window, since = 0, now
            if left > 0:
                raise ConnectionError

    def _length(self, response: requests.Response, start: int) -> int:
        """How many bytes are to come; refused where they are not the rest of the same file."""
        status = response.status_code
        if status in sessions.TRANSIENT:
            response.raise_for_status()
        if status in sessions.NOT_US:
            hint = "put the login into ~/.netrc, or into the address of the index"
            raise self.failed(f"HTTP status {status}", hint)
        length = int(response.headers.get("Content-Length", 0))
        if status == requests.codes.ok:
            self._same(length)
            return length
        said = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
        if status != requests.codes.partial or not said or int(said[1]) != start:
            raise self.failed(f"HTTP status {status}, not the bytes that were asked for")
        self._same(int(said[2]))
        return self._size - start

    def _same(self, size: int) -> None:
        if self._size and size != self._size:
            raise self.failed(f"the file changed while it was read: {self._size} bytes, now {size}")
        self._size = size

    def failed(self, why: str, hint: str = "the same command goes on from here; or name a mirror") -> SourceFailed:
        return SourceFailed(why, where=sessions.scrubbed(self._url), hint=hint)
