"""Requests to package sources: whether they answer, project pages, remote files."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

import requests  # noqa: TID251 - this is the door
import urllib3

from provision.doors import addresses, at_once, sessions
from provision.doors.range_file import RangeFile
from provision.doors.remote_file import RemoteFile
from provision.errors import SourceFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pypi_simple import ProjectPage

PAGE_DEADLINE_S: Final = 60.0
_ATTEMPTS = 3
_LONGEST_PAGE = 32 * 1024 * 1024
_RETRY = "retry with the same command, or name a mirror"


def probe(urls: Mapping[str, str], deadline_s: float) -> dict[str, dict[str, object]]:
    """Return whether each source answers; all are asked at once, until the deadline."""
    answers = at_once.run_all(
        {name: partial(_probe, url, deadline_s) for name, url in urls.items()}, deadline_s
    )
    late = {"answers": False, "detail": f"no answer within {deadline_s:g} s", "late": True}
    return {name: answers.get(name, late) for name in urls}


def project(index: str, name: str, deadline_s: float = PAGE_DEADLINE_S) -> ProjectPage:
    """Return the page of a project on a simple index (JSON or HTML)."""
    import pypi_simple  # here: importing it takes longer than a run that finds nothing to do

    with (
        sessions.session() as connection,
        pypi_simple.PyPISimple(index, session=connection) as client,
    ):
        try:
            timeout = (sessions.CONNECT_S, sessions.SILENCE_S)
            return at_once.within(
                deadline_s, lambda: client.get_project_page(name, timeout=timeout)
            )
        except pypi_simple.NoSuchProjectError:
            reason, hint = f"this index has no project {name}", "is it an index of packages?"
        except (requests.RequestException, TimeoutError) as error:
            reason, hint = sessions.reason(error), _RETRY
        except (pypi_simple.UnsupportedContentTypeError, ValueError) as error:
            reason = f"its page for {name} is not a simple index page ({type(error).__name__})"
            hint = "an index address ends in /simple/, and must not lead to a login page"
        raise SourceFailed(reason, where=addresses.scrubbed(index), hint=hint)


def page(
    url: str,
    connection: addresses.Connection | None = None,
    deadline_s: float = PAGE_DEADLINE_S,
) -> bytes | None:
    """Return the content at an address, up to 32 MiB; None if the server says that it is missing.

    Raise SourceFailed after three tries.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return at_once.within(deadline_s, lambda: _read(url, connection))
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            status = error.response.status_code if isinstance(error, requests.HTTPError) else None
            if attempt == _ATTEMPTS or (status is not None and status not in sessions.TRANSIENT):
                raise SourceFailed(
                    sessions.reason(error), where=addresses.scrubbed(url), hint=_RETRY
                ) from None
            time.sleep(0.2 * attempt)
    raise AssertionError  # the last attempt returns or raises


def _read(url: str, connection: addresses.Connection | None) -> bytes | None:
    with (
        sessions.session(url, connection) as session,
        sessions.answer(session, "GET", url) as response,
    ):
        if response.status_code in (requests.codes.not_found, requests.codes.gone):
            return None
        response.raise_for_status()
        content: bytes = response.raw.read(_LONGEST_PAGE + 1, decode_content=True)
    if len(content) > _LONGEST_PAGE:
        raise SourceFailed(
            f"its page is larger than {_LONGEST_PAGE // 2**20} MiB",
            where=addresses.scrubbed(url),
            hint="name a mirror",
        )
    return content


def remote_file(url: str) -> RangeFile:
    """Return a remote file to read and seek in, as `zipfile` does; only what is read travels."""
    return RangeFile(RemoteFile(url))


def _probe(url: str, deadline_s: float) -> dict[str, object]:
    parts = urlsplit(url)
    if parts.scheme == "file":
        exists = Path(unquote(parts.path)).is_dir()
        return {"answers": exists, "detail": "a folder" if exists else "no such folder"}
    try:
        # Status and headers are enough: the body of a streamed answer is never read.
        with (
            sessions.session() as connection,
            connection.get(url, timeout=deadline_s, stream=True) as response,
        ):
            return _assess(url, response)
    except (requests.RequestException, ValueError) as error:
        late = isinstance(error, requests.Timeout)
        return {"answers": False, "detail": sessions.reason(error), "late": late}


def _assess(url: str, response: requests.Response) -> dict[str, object]:
    status = response.status_code
    # A captive portal or a login page answers for every address, with status 200.
    if "html" in response.headers.get("Content-Type", "") and _site(response.url) != _site(url):
        host = urlsplit(response.url).hostname
        return {"answers": False, "detail": f"redirected to a page of {host}"}
    return {
        "answers": status < requests.codes.server_error and status not in sessions.LOGIN_NEEDED,
        "detail": f"HTTP {status}",
    }


def _site(url: str) -> list[str]:
    """Return the last two labels of a host.

    An index may redirect to a file server of the same site, a login page is on another one.
    """
    return (urlsplit(url).hostname or "").split(".")[-2:]
