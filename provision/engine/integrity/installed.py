"""The distributions installed in an environment, as their .dist-info folders name them."""

from __future__ import annotations

from pathlib import Path

from packaging.utils import canonicalize_name

from provision.binary import record


def site_packages(environment: Path) -> Path | None:
    """Return an environment's site-packages folder, or None if there is none yet."""
    return next(iter(sorted(environment.glob("lib/python*/site-packages"))), None)


def dist_infos(environment: Path) -> list[Path]:
    site = site_packages(environment)
    return sorted(site.glob("*.dist-info")) if site else []


def name_and_version(dist_info: str) -> tuple[str, str]:
    """Return the distribution's name and version from the name of a .dist-info folder."""
    name, _, version = dist_info.removesuffix(".dist-info").partition("-")
    return canonicalize_name(name), version


def top_level_names(dist_info: Path) -> set[str]:
    """Return the first path components of the files in a RECORD; empty if it cannot be read."""
    try:
        return {entry.path.partition("/")[0] for entry in record.read_entries(dist_info / "RECORD")}
    except ValueError:  # a damaged RECORD is reported by the survey
        return set()
