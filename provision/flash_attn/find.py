"""Find the address and hash of a planned flash-attn wheel in the list of files of its release."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import Final
from urllib.parse import quote, unquote, urljoin, urlsplit

import msgspec

from provision import package_sources
from provision.doors.addresses import Connection
from provision.errors import Failure, SourceFailed
from provision.plan._model import Plan
from provision.settings import Settings
from provision.steps.model import Wheel

_AUTHORS: Final = "Dao-AILab/flash-attention"
_THIRD_PARTY: Final = "mjun0812/flash-attention-prebuild-wheels"
_PER_PAGE: Final = 30  # a release has up to 200 files of 1.5 kB each in this list
_PAGES: Final = 20
_LINK = re.compile(r'href="([^"]+/releases/download/[^"]+)"')
_SOURCE_LINK: Final = "/archive/refs/tags/"  # GitHub adds it to the files of every release
_DIGEST = re.compile(r"\bsha256:([0-9a-f]{64})\b")


class NotPublished(Failure):
    """The list of files was read and lacks the wheel; the plan goes on without it."""

    exit_code = 4


class _Asset(msgspec.Struct, frozen=True):
    name: str
    browser_download_url: str
    digest: str | None = None
    size: int = 0


class _Release(msgspec.Struct, frozen=True):
    assets: list[_Asset] = []


def find(plan: Plan, settings: Settings, connection: Connection) -> Wheel:
    """Return the address, hash and size of the planned wheel; "" and 0 if the list lacks them.

    Raise NotPublished if the list was read and lacks the wheel, SourceFailed if it cannot be read.
    """
    file, package = plan.flash_attn.wheel, plan.packages["flash-attn"]
    assert package is not None  # noqa: S101 - the caller has checked the mode
    github = (
        package_sources.addresses(settings, "").get("github", package_sources.GITHUB).rstrip("/")
    )
    if plan.flash_attn.origin == "third party":
        return _find_in_all_releases(github, file, connection)
    address = f"{github}/{_AUTHORS}/releases/expanded_assets/{quote(f'v{package.version}')}"
    from provision.doors import network  # it loads the HTTP library

    page = network.page(address, connection)
    if page is None:
        raise NotPublished(f"there is no release {package.version} of {_AUTHORS}", where=address)
    html = page.decode("utf-8", "replace")
    wheels = list(_parse_list(html, address))
    # A page without any file could be a login page. A real list at least links the source.
    if not wheels and _SOURCE_LINK not in html:
        raise SourceFailed(
            "this is not a list of release files",
            where=address,
            hint="open it in a browser; a login page or proxy may answer in its place",
        )
    wheel = next((wheel for wheel in wheels if wheel.file == file), None)
    if wheel is None:
        raise NotPublished(
            f"release {package.version} of {_AUTHORS} has {len(wheels)} files, "
            "and it is none of them",
            where=address,
        )
    return wheel


def _parse_list(html: str, address: str) -> Iterator[Wheel]:
    """Yield every file of the page; its digest is between its own link and the next one."""
    links = list(_LINK.finditer(html))
    ends = [*(link.start() for link in links[1:]), len(html)]
    for link, end in zip(links, ends, strict=False):  # without any link there is still one end
        digest = _DIGEST.search(html, link.end(), end)
        yield Wheel(url=urljoin(address, unescape(link[1])), sha256=digest[1] if digest else "")


def _find_in_all_releases(github: str, file: str, connection: Connection) -> Wheel:
    """Search all releases of the third party from the newest: their numbers are its own."""
    from provision.doors import network  # it loads the HTTP library

    address = f"{_api(github)}/repos/{_THIRD_PARTY}/releases"
    for number in range(1, _PAGES + 1):
        releases = _decode(
            network.page(f"{address}?per_page={_PER_PAGE}&page={number}", connection), address
        )
        for asset in (asset for release in releases for asset in release.assets):
            digest = _DIGEST.search(asset.digest or "")
            wheel = Wheel(
                url=asset.browser_download_url,
                sha256=digest[1] if digest else "",
                size=asset.size,
            )
            if {unquote(asset.name), wheel.file} == {file}:
                return wheel
        if len(releases) < _PER_PAGE:
            break
    raise NotPublished(f"no release of {_THIRD_PARTY} has this file", where=address)


def _decode(page: bytes | None, address: str) -> list[_Release]:
    try:
        return msgspec.json.decode(page or b"", type=list[_Release])
    except (ValueError, RecursionError):
        raise SourceFailed(
            "this is not a list of releases",
            where=address,
            hint="open it in a browser; or do without it: --set flash_attn.third_party=false",
        ) from None


def _api(github: str) -> str:
    """Return the address of the API: a host of its own for github.com, a path on other servers."""
    parts = urlsplit(github)
    is_public = parts.hostname == "github.com"
    return f"{parts.scheme}://api.{parts.hostname}" if is_public else f"{github}/api/v3"
