"""HTTP sessions with this host's proxies, certificates and logins, and reasons of failures."""

from __future__ import annotations

import socket
import ssl
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests  # noqa: TID251 - part of the network's door
import urllib3

from provision.doors import at_once, certificates
from provision.doors.addresses import Connection, origin, scrubbed
from provision.errors import SourceFailed
from provision.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

CONNECT_S = 5.0
SILENCE_S = 15.0  # without a byte for so long, the connection is given up
HEADERS_S = 30.0  # for a whole answer without its body, also one that trickles
TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
LOGIN_NEEDED = frozenset({401, 407})  # of the source, or of a proxy


class _Session(requests.Session):
    """A session that does not follow a redirect to something that is no address."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        try:
            target = super().get_redirect_target(resp)
            urlsplit(target or "")
        except ValueError:
            return None
        return target


def session(url: str = "", connection: Connection | None = None) -> requests.Session:
    """Return a session with the host's proxies and certificates, and the login of one source."""
    session = _Session()
    session.headers["User-Agent"] = f"vllm-ready/{VERSION}"
    session.verify = certificates.bundle()
    if connection:
        address = urlsplit(url)
        host, host_and_port = address.hostname or "", address.netloc.rpartition("@")[2]
        session.auth = connection.logins.get(origin(url))
        if token := connection.tokens.get(origin(url)):
            # requests drops this header where a redirect leads to another host.
            session.headers["Authorization"] = f"Bearer {token}"
        verified = not {host, host_and_port} & {*connection.unverified}
        session.verify = verified and (connection.certificates or session.verify)
        session.cert = connection.client_certificate or None
        for path in (session.verify, session.cert):
            # requests would raise an OSError here that looks like a failure of the connection.
            if isinstance(path, str) and not Path(path).exists():
                raise SourceFailed(
                    f"the certificate file {path} is missing",
                    where=scrubbed(url),
                    hint="correct `cert` in the settings of pip or uv",
                )
        # requests looks at NO_PROXY only for proxies that it takes from the environment itself.
        if connection.proxy and not requests.utils.should_bypass_proxies(url, no_proxy=None):
            session.proxies = dict.fromkeys(("http", "https"), connection.proxy)
    return session


def answer(
    session: requests.Session, method: str, url: str, headers: Mapping[str, str] | None = None
) -> requests.Response:
    """Return an answer whose body is still to be read; raise TimeoutError after HEADERS_S."""
    request = partial(
        session.request,
        method,
        url,
        headers=headers,
        timeout=(CONNECT_S, SILENCE_S),
        stream=True,
        allow_redirects=True,
    )
    return at_once.within(HEADERS_S, request)


def reason(error: BaseException) -> str:
    """Return why a request failed.

    The text of the exception itself is not used: it may repeat an address with its password.
    """
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"HTTP status {error.response.status_code}"
    if isinstance(error, requests.exceptions.InvalidSchema) and "SOCKS" in str(error):
        return "downloads cannot use the configured SOCKS proxy; name an HTTP proxy"
    causes = [error]
    while cause := causes[-1].__cause__ or causes[-1].__context__:
        causes.append(cause)
    for kinds, text in _REASONS:
        if any(isinstance(cause, kinds) for cause in causes):
            return text
    return f"the request failed ({type(error).__name__})"


# In this order: the general classes at the end are parents of those before them.
_REASONS = (
    (
        (requests.exceptions.InvalidSchema, requests.exceptions.InvalidURL),
        "not an http or https address",
    ),
    (requests.exceptions.ProxyError, "the proxy refuses or cannot be reached"),
    (socket.gaierror, "DNS does not know the name"),
    (ConnectionRefusedError, "the connection is refused"),
    (ssl.SSLCertVerificationError, "its TLS certificate is not trusted on this host"),
    (ssl.SSLError, "TLS failed"),
    ((requests.Timeout, TimeoutError), "timed out"),
    (requests.exceptions.JSONDecodeError, "not a simple index page"),
    (
        (urllib3.exceptions.HTTPError, ConnectionError, requests.ConnectionError),
        "the connection broke off",
    ),
)
