"""One file on an HTTP server, read from any byte on: the only downloader.

A connection that breaks, goes silent or becomes too slow is opened again at the next byte.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final

import requests  # noqa: TID251 - part of the network's door
import urllib3

from provision.doors import addresses, sessions
from provision.errors import SourceFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK: Final = 1024 * 1024
_TRIES: Final = 5  # in a row that bring less than a chunk each
_PAUSE_S: Final = 0.5
_WINDOW_S: Final = 30.0  # how long a connection may be slower than _LEAST_RATE
_LEAST_RATE: Final = 1_000  # bytes a second
_RETRY: Final = "retry with the same command, which continues here, or name a mirror"


class RemoteFile:
    """A remote file; `size` is known after the first answer, `fetched` counts what travelled."""

    def __init__(self, url: str, connection: addresses.Connection | None = None) -> None:
        self.url = url
        self.size = 0
        self.fetched = 0
        self._session = sessions.session(url, connection)

    def close(self) -> None:
        self._session.close()

    def pieces(self, start: int, end: int | None = None) -> Iterator[bytes | None]:
        """Yield the bytes from `start` up to, not including, `end`.

        A negative start counts from the end of the file. An empty piece stands for a pause before
        a retry. None means that the server sends no ranges and begins again at the first byte; it
        is possible only where the whole rest was requested (no `end`, and `start` not negative).
        """
        position, failures = start, 0
        while True:
            progress = 0
            try:
                for piece in self._connect(position, end):
                    if piece is None:
                        position = progress = 0
                    else:
                        if position < 0:  # the size is known now: continue with plain positions
                            position, end = max(0, self.size + position), self.size
                        position += len(piece)
                        progress += len(piece)
                        self.fetched += len(piece)
                    yield piece
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
                failures = 0 if progress >= CHUNK else failures + 1
                if failures == _TRIES:
                    raise self._failed(
                        f"{sessions.reason(error)}, {_TRIES} times in a row"
                    ) from None
                time.sleep(_PAUSE_S * failures)
                yield b""
            else:
                return

    def _connect(self, start: int, end: int | None) -> Iterator[bytes | None]:
        headers = {"Accept-Encoding": "identity"}
        if start or end is not None:
            last = "" if end is None else end - 1
            headers["Range"] = f"bytes={start}" if start < 0 else f"bytes={start}-{last}"
        with sessions.answer(self._session, "GET", self.url, headers) as response:
            status, whole_rest = response.status_code, start >= 0 and end is None
            if status == requests.codes.requested_range_not_satisfiable and whole_rest:
                return  # nothing is left; the caller's hash decides whether that is the whole file
            if status == requests.codes.ok and "Range" in headers:
                if not whole_rest:
                    raise self._failed(
                        "the server sends whole files only",
                        hint="use an index whose files answer range requests",
                    )
                yield None
                start = 0
            yield from self._body(response, self._length(response, start, end))

    def _body(self, response: requests.Response, left: int) -> Iterator[bytes]:
        """Yield the body; raise TimeoutError if it is too slow, ConnectionError if it is short."""
        window, since = 0, time.monotonic()
        # Not iter_content: it waits for whole chunks, so a trickle would never be noticed.
        while piece := response.raw.read1(CHUNK, decode_content=False):
            left -= len(piece)
            window += len(piece)
            yield piece
            if (now := time.monotonic()) - since > _WINDOW_S:
                if window < _LEAST_RATE * _WINDOW_S:
                    raise TimeoutError
                window, since = 0, now
        if left > 0:
            raise ConnectionError

    def _length(self, response: requests.Response, start: int, end: int | None) -> int:
        status = response.status_code
        if status in sessions.TRANSIENT:
            response.raise_for_status()
        if status in sessions.LOGIN_NEEDED:
            raise self._failed(
                f"HTTP status {status}",
                "put the login into ~/.netrc or into the address of the index",
            )
        if status == requests.codes.ok:
            self._check_size(length := _stated_length(response))
            return length
        span = re.fullmatch(
            r"bytes ([0-9]{1,18})-[0-9]+/([0-9]{1,18})", response.headers.get("Content-Range", "")
        )
        first, size = map(int, span.groups()) if span else (-1, 0)
        expected = start if start >= 0 else max(0, size + start)
        if status != requests.codes.partial or first != expected:
            raise self._failed(f"HTTP status {status}, not the requested bytes")
        self._check_size(size)
        # Not the end in the answer: a server may send less, and the rest must be requested again.
        return (size if end is None else min(end, size)) - first

    def _check_size(self, size: int) -> None:
        if self.size and size != self.size:
            raise self._failed(
                f"the file changed during the download: {self.size} bytes, now {size}"
            )
        self.size = size

    def _failed(self, reason: str, hint: str = _RETRY) -> SourceFailed:
        return SourceFailed(reason, where=addresses.scrubbed(self.url), hint=hint)


def content_length(url: str, connection: addresses.Connection) -> int:
    """Return the size of a remote file, 0 if its server does not tell it."""
    try:
        with sessions.session(url, connection) as session:
            answer = sessions.answer(session, "HEAD", url, {"Accept-Encoding": "identity"})
            return _stated_length(answer) if answer.ok else 0
    except (requests.RequestException, OSError, ValueError):
        return 0


def _stated_length(response: requests.Response) -> int:
    """Return the Content-Length, 0 if it is missing or no number."""
    text = response.headers.get("Content-Length", "")
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else 0
