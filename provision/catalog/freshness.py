"""The lag of the catalogue behind an index: the newer releases, and the days between."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from packaging.version import InvalidVersion, Version

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from pypi_simple import ProjectPage


class CatalogLag(msgspec.Struct, frozen=True, kw_only=True):
    """The newest release in the catalogue and those it lacks; `days` is None without dates."""

    newest_known: str | None
    missing: tuple[str, ...]
    days: int | None = None


def behind(known: Iterable[str], page: ProjectPage) -> CatalogLag:
    """Return the final releases newer than all known ones, oldest first, and the lag in days."""
    newest_known = max(known, key=Version, default=None)
    released = _releases(page)
    floor = Version(newest_known) if newest_known else Version("0")
    missing = sorted(version for version in released if version > floor)
    # The lag in days is that between two uploads, not until today.
    first, last = released.get(floor), released[missing[-1]] if missing else None
    return CatalogLag(
        newest_known=newest_known,
        missing=tuple(map(str, missing)),
        days=(last.date() - first.date()).days if first and last else None,
    )


def _releases(page: ProjectPage) -> dict[Version, datetime | None]:
    released: dict[Version, datetime | None] = {}
    for package in page.packages:
        # A yanked release is not one to add.
        if package.package_type != "wheel" or package.is_yanked or not package.version:
            continue
        try:
            version = Version(package.version)
        except InvalidVersion:
            continue
        if not version.is_prerelease:
            released[version] = min(
                [moment for moment in (released.get(version), package.upload_time) if moment],
                default=None,
            )
    return released
