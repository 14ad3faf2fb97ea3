"""Where a planned flash-attn wheel lies: its release's list of files is read, which says what is really there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import Final
from urllib.parse import quote, unquote, urljoin, urlsplit

import msgspec

from provision import package_sources
from provision.doors import network
from provision.doors.sessions import Connection
from provision.errors import Failure, SourceFailed
from provision.plan._model import Plan
from provision.settings import Settings
from provision.steps.model import Wheel

_AUTHORS: Final = "Dao-AILab/flash-attention"
_THIRD_PARTY: Final = "mjun0812/flash-attention-prebuild-wheels"
_PER_PAGE: Final = 30  # a release has up to 200 files, and each of them a kilobyte and a half
_PAGES: Final = 20
_LINK = re.compile(r'href="([^"]+/releases/download/[^"]+)"')
_OF_EVERY_RELEASE: Final = "/archive/refs/tags/"  # its source, which GitHub lists below what was uploaded
_DIGEST = re.compile(r"\bsha256:([0-9a-f]{64})\b")


class NotPublished(Failure):
    """The list of files was read, and the wheel is not in it: the plan goes on without."""

    exit_code = 4


class _Asset(msgspec.Struct, frozen=True):
    name: str
    browser_download_url: str
    digest: str | None = None
    size: int = 0


class _Release(msgspec.Struct, frozen=True):
    assets: list[_Asset] = []


def find(plan: Plan, settings: Settings, connection: Connection) -> Wheel:
    """The address of the planned wheel, with its hash ("" where nobody tells it) and size (0 likewise).

    NotPublished where its list was read and it is not there; SourceFailed where no list could be read.
    """
    file, package = plan.flash_attn.wheel, plan.packages["flash-attn"]
    assert package is not None  # noqa: S101 - whoever asks has looked at the mode
    github = package_sources.addresses(settings, "").get("github", package_sources.GITHUB).rstrip("/")
    if plan.flash_attn.origin == "third party":
        return _in_all_releases(github, file, connection)
    where = f"{github}/{_AUTHORS}/releases/expanded_assets/{quote(f'v{package.version}')}"
    listed = network.page(where, connection)
    if listed is None:
        raise NotPublished(f"there is no release {package.version} of {_AUTHORS}", where=where)
    html = listed.decode("utf-8", "replace")
    wheels = list(_listed(html, where))
    if not wheels and _OF_EVERY_RELEASE not in html:
        raise SourceFailed("this is no list of release files", where=where, hint="no login page may stand before it")
    return _named(file, wheels, f"release {package.version} of {_AUTHORS}", where)


def _named(file: str, wheels: list[Wheel], release: str, where: str) -> Wheel:
    found = next((wheel for wheel in wheels if wheel.file == file), None)
    if found is None:
        raise NotPublished(f"{release} has {len(wheels)} files, and it is none of them", where=where)
    return found


def _listed(html: str, where: str) -> Iterator[Wheel]:
    """Every file of the page; its digest stands behind its link and before the next file's."""
    links = list(_LINK.finditer(html))
    ends = [*(link.start() for link in links[1:]), len(html)]
    for link, end in zip(links, ends, strict=False):  # without a link there is an end all the same
        digest = _DIGEST.search(html, link.end(), end)
        yield Wheel(url=urljoin(where, unescape(link[1])), sha256=digest[1] if digest else "")


def _in_all_releases(github: str, file: str, connection: Connection) -> Wheel:
    """Its releases are numbered by themselves, so all are looked through, from the newest."""
    where = f"{_api(github)}/repos/{_THIRD_PARTY}/releases"
    for number in range(1, _PAGES + 1):
        page = network.page(f"{where}?per_page={_PER_PAGE}&page={number}", connection)
        releases = _decoded(page, where)
        for asset in (one for release in releases for one in release.assets):
            digest = _DIGEST.search(asset.digest or "")
            wheel = Wheel(url=asset.browser_download_url, sha256=digest[1] if digest else "", size=asset.size)
            if {unquote(asset.name), wheel.file} == {file}:
                return wheel
        if len(releases) < _PER_PAGE:
            break
    raise NotPublished(f"no release of {_THIRD_PARTY} has this file", where=where)


def _decoded(page: bytes | None, where: str) -> list[_Release]:
    try:
        return msgspec.json.decode(page or b"", type=list[_Release])
    except msgspec.MsgspecError:
        hint = "no login page may stand before it; `flash_attn.third_party: false` does without"
        raise SourceFailed("this is no list of releases", where=where, hint=hint) from None


def _api(github: str) -> str:
    """GitHub's own interface has a host of its own; that of a server in house lies below it."""
    parts = urlsplit(github)
    return f"{parts.scheme}://api.{parts.hostname}" if parts.hostname == "github.com" else f"{github}/api/v3"
