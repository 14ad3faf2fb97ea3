"""The only place that talks to the network: which sources answer, project pages, parts of remote files."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import unquote, urlsplit

import requests  # noqa: TID251 - this is the door
import urllib3

from provision.doors import sessions
from provision.doors.range_file import RangeFile
from provision.errors import SourceFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pypi_simple import ProjectPage

T = TypeVar("T")

PAGE_DEADLINE_S: Final = 60.0
_SLOWEST_RATE = 50_000  # bytes a second; slower than this does not count as working
_ATTEMPTS = 3
_CHUNK = 256 * 1024
_LONGEST_PAGE = 32 * 1024 * 1024


def default_index() -> str:
    """The address of PyPI's simple index, as the client library has it."""
    import pypi_simple

    return pypi_simple.PYPI_SIMPLE_ENDPOINT


def probe(urls: Mapping[str, str], deadline_s: float) -> dict[str, dict[str, object]]:
    """Whether each source answers, all asked at once; nobody waits longer than the deadline."""
    answers: dict[str, dict[str, object]] = {}

    def ask(name: str, url: str) -> None:
        answers[name] = _answer(url, deadline_s)

    # Daemons: a resolver or a proxy that hangs must not keep the program from ending.
    asking = [threading.Thread(target=ask, args=item, daemon=True) for item in urls.items()]
    end = time.monotonic() + deadline_s
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join(max(0.0, end - time.monotonic()))
    late = {"answers": False, "detail": f"no answer within {deadline_s:g} s"}
    return {name: answers.get(name, late) for name in urls}


def project(index: str, name: str, deadline_s: float = PAGE_DEADLINE_S) -> ProjectPage:
    """The page of a project on a simple index (JSON or HTML)."""
    import pypi_simple  # here, since it takes longer to import than a run with nothing to do takes

    where = sessions.scrubbed(index)
    with sessions.session() as connection, pypi_simple.PyPISimple(index, session=connection) as client:
        try:
            timeout = (sessions.CONNECT_S, sessions.SILENCE_S)
            return _within(deadline_s, lambda: client.get_project_page(name, timeout=timeout))
        except pypi_simple.NoSuchProjectError:
            raise SourceFailed(
                f"there is no project {name} on this index", where=where, hint="is it an index of packages?"
            ) from None
        except requests.RequestException as error:
            raise SourceFailed(sessions.reason(error), where=where, hint="try again, or name a mirror") from None
        except (pypi_simple.UnsupportedContentTypeError, ValueError) as error:
            raise SourceFailed(
                f"its page for {name} is no simple index page ({type(error).__name__})",
                where=where,
                hint="an index address ends in /simple/, and no login page may stand before it",
            ) from None


def page(url: str, connection: sessions.Connection | None = None, deadline_s: float = PAGE_DEADLINE_S) -> bytes | None:
    """What lies at an address, up to 32 MiB and after up to three tries; None where the server says: not there."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return _within(deadline_s, lambda: _read(url, connection))
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            status = error.response.status_code if isinstance(error, requests.HTTPError) else None
            if attempt == _ATTEMPTS or (status is not None and status not in sessions.TRANSIENT):
                hint = "try again, or name a mirror"
                raise SourceFailed(sessions.reason(error), where=sessions.scrubbed(url), hint=hint) from None
            time.sleep(0.2 * attempt)
    raise AssertionError  # the last attempt returns or raises


def _read(url: str, connection: sessions.Connection | None) -> bytes | None:
    timeout = (sessions.CONNECT_S, sessions.SILENCE_S)
    with sessions.session(url, connection) as ours, ours.get(url, timeout=timeout, stream=True) as response:
        if response.status_code in (requests.codes.not_found, requests.codes.gone):
            return None
        response.raise_for_status()
        content: bytes = response.raw.read(_LONGEST_PAGE + 1, decode_content=True)
    if len(content) > _LONGEST_PAGE:
        raise SourceFailed("this page is endless", where=sessions.scrubbed(url), hint="name a mirror")
    return content


def remote_file(url: str) -> RangeFile:
    """A remote file to read and seek in, as `zipfile` does; only the parts that are asked for travel."""
    return RangeFile(Ranges(url))


class Ranges:
    """One remote file, by range requests: silent, slow and broken connections are bounded."""

    def __init__(self, url: str, *, silence_s: float = sessions.SILENCE_S) -> None:
        self.url = url
        self.size = 0
        self.fetched = 0
        self._silence_s = silence_s
        self._session = sessions.session()

    def last(self, count: int) -> bytes:
        """The last bytes of the file; from then on `size` is known."""
        return self._fetch(f"-{count}")

    def between(self, start: int, end: int) -> bytes:
        """The bytes from start up to, not including, end."""
        return self._fetch(f"{start}-{end - 1}")

    def close(self) -> None:
        """Let the connection go."""
        self._session.close()

    def _fetch(self, wanted: str) -> bytes:
        """The bytes of a range; a broken or silent connection is taken up again where it stopped."""
        got = bytearray()
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                for chunk in self._stream(wanted, len(got)):
                    got += chunk
                    self.fetched += len(chunk)
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
                if attempt == _ATTEMPTS:
                    raise self._failed(f"{sessions.reason(error)}, {_ATTEMPTS} times") from None
                time.sleep(0.2 * attempt)
            else:
                break
        return bytes(got)

    def _stream(self, wanted: str, skip: int) -> Iterator[bytes]:
        first, _, last = wanted.partition("-")
        if skip:
            # The end of a file that broke off: by now its size is known.
            start = int(first) if first else max(0, self.size - int(last))
            first, last = str(start + skip), last if first else str(self.size - 1)
        headers = {"Range": f"bytes={first}-{last}", "Accept-Encoding": "identity"}
        timeout = (sessions.CONNECT_S, self._silence_s)
        with self._session.get(self.url, headers=headers, stream=True, timeout=timeout) as response:
            length = self._checked(response, first)
            end = time.monotonic() + self._silence_s + length / _SLOWEST_RATE
            # Not iter_content: that waits for whole chunks, so a trickle would never meet the deadline.
            while chunk := response.raw.read1(_CHUNK, decode_content=False):
                length -= len(chunk)
                yield chunk
                if time.monotonic() > end:
                    raise TimeoutError
            if length > 0:
                raise ConnectionError

    def _checked(self, response: requests.Response, asked: str) -> int:
        """How many bytes will come; refused where they are not the asked ones of the same file."""
        if response.status_code in sessions.TRANSIENT:
            response.raise_for_status()
        if response.status_code == requests.codes.ok:
            raise self._failed(
                "the server sends whole files only", hint="use an index whose files answer range requests"
            )
        said = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", response.headers.get("Content-Range", ""))
        if response.status_code != requests.codes.partial or not said or asked not in ("", said[1]):
            raise self._failed(f"HTTP status {response.status_code}, not the bytes that were asked for")
        first, last, size = map(int, said.groups())
        if self.size not in (0, size):
            raise self._failed(f"the file changed while it was read: {self.size} bytes, now {size}")
        self.size = size
        return last - first + 1

    def _failed(self, why: str, hint: str = "try again, or name a mirror") -> SourceFailed:
        return SourceFailed(why, where=sessions.scrubbed(self.url), hint=hint)


def _answer(url: str, deadline_s: float) -> dict[str, object]:
    parts = urlsplit(url)
    if parts.scheme == "file":
        there = Path(unquote(parts.path)).is_dir()
        return {"answers": there, "detail": "a folder" if there else "no such folder"}
    try:
        # The status and headers are enough; closing the stream leaves the page where it is.
        with sessions.session() as connection, connection.get(url, timeout=deadline_s, stream=True) as response:
            return _judged(url, response)
    except (requests.RequestException, ValueError) as error:
        return {"answers": False, "detail": sessions.reason(error)}


def _judged(asked: str, response: requests.Response) -> dict[str, object]:
    status = response.status_code
    is_page = "html" in response.headers.get("Content-Type", "")
    if is_page and _site(response.url) != _site(asked):
        return {"answers": False, "detail": f"sent on to a page of {urlsplit(response.url).hostname}"}
    answers = status < requests.codes.server_error and status not in sessions.NOT_US
    return {"answers": answers, "detail": f"HTTP {status}"}


def _site(url: str) -> list[str]:
    """The last two labels of a host: an index may send on to its own file server, not to a login page."""
    return (urlsplit(url).hostname or "").split(".")[-2:]


def _within(deadline_s: float, work: Callable[[], T]) -> T:
    """What the work returns or raises, or a time-out: resolvers and trickles have no deadline."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - handed to the caller below
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(deadline_s)
    if errors:
        raise errors[0]
    if not results:
        raise requests.Timeout
    return results[0]
