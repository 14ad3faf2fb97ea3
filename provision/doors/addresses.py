"""Addresses of package sources, and how installers connect to them; loads no HTTP library."""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """The connection settings of the installers, beyond the environment; logins by `origin`.

    `tokens` are bearer tokens, by origin too.
    """

    proxy: str = ""
    certificates: str = ""
    client_certificate: str = ""
    unverified: tuple[str, ...] = ()
    logins: dict[str, tuple[str, str]] = {}
    tokens: dict[str, str] = {}


def origin(url: str) -> str:
    """Return scheme, host and port of an address: a login for one is for no other."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2].lower()
    return f"{parts.scheme}://{place.removesuffix(':443' if parts.scheme == 'https' else ':80')}"


def scrubbed(url: str) -> str:
    """Return an address without user name, password and query, safe for messages."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def default_index() -> str:
    """Return the address of PyPI's simple index, as the client library has it."""
    import pypi_simple  # it loads the HTTP library

    return pypi_simple.PYPI_SIMPLE_ENDPOINT
