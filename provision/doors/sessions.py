"""How sources are spoken to: the host's proxies, certificates and logins, when to give up, and why it failed."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import requests  # noqa: TID251 - part of the network's door
import urllib3

from provision.doors import certificates
from provision.errors import SourceFailed
from provision.version import VERSION

CONNECT_S = 5.0
SILENCE_S = 15.0  # no byte for so long: the connection is given up
TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
NOT_US = frozenset({401, 407})  # a login, of the source or of a proxy, that we do not have


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """How the installers are set up to reach their sources, beyond what the environment says; logins by host name."""

    proxy: str = ""
    certificates: str = ""
    client_certificate: str = ""
    unverified: tuple[str, ...] = ()
    logins: dict[str, tuple[str, str]] = {}


def session(url: str = "", connection: Connection | None = None) -> requests.Session:
    """A session with the host's proxies and certificates; for one source, also with its login."""
    made = requests.Session()
    made.headers["User-Agent"] = f"vllm-ready/{VERSION}"
    made.verify = certificates.bundle()
    if connection:
        address = urlsplit(url)
        host, with_port = address.hostname or "", address.netloc.rpartition("@")[2]
        made.auth = connection.logins.get(host)
        made.verify = not {host, with_port} & {*connection.unverified} and (connection.certificates or made.verify)
        made.cert = connection.client_certificate or None
        if lost := [path for path in (made.verify, made.cert) if isinstance(path, str) and not Path(path).exists()]:
            what = f"the certificates in {lost[0]} are not there"
            raise SourceFailed(what, where=scrubbed(url), hint="mend cert in pip's or uv's settings")
        made.proxies = {"http": connection.proxy, "https": connection.proxy} if connection.proxy else {}
    return made


def scrubbed(url: str) -> str:
    """An address without user name, password and query, fit for messages."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def reason(error: BaseException) -> str:
    """Why a request failed, in words; the exceptions' own texts repeat the address with its password."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"HTTP status {error.response.status_code}"
    causes = [error]
    while cause := causes[-1].__cause__ or causes[-1].__context__:
        causes.append(cause)
    known = (words for kind, words in _REASONS if any(isinstance(cause, kind) for cause in causes))
    return next(known, f"the request failed ({type(error).__name__})")


_REASONS = (
    ((requests.exceptions.InvalidSchema, requests.exceptions.InvalidURL), "not an http or https address"),
    (requests.exceptions.ProxyError, "the proxy does not let it through"),
    (socket.gaierror, "the name is not known to DNS"),
    (ConnectionRefusedError, "the connection is refused"),
    (ssl.SSLCertVerificationError, "its TLS certificate is not trusted here"),
    (ssl.SSLError, "TLS failed"),
    ((requests.Timeout, TimeoutError), "timed out"),
    (requests.exceptions.JSONDecodeError, "no simple index page"),
    ((urllib3.exceptions.HTTPError, ConnectionError, requests.ConnectionError), "the connection broke off"),
)
