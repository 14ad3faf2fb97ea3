"""The distributions installed in an environment, as their .dist-info folders name them."""

from __future__ import annotations

import os
import re
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


# Of the environment itself: no distribution may bring, replace or take these away. A Python whose
# pyvenv.cfg is gone is that of the host, and an installer would work there.
_OWN = re.compile(r"pyvenv\.cfg|\.vllm-ready(?:/.*)?|bin/(?:python[\d.]*|activate(?:\.\w+)?)")


def belongs_to_environment(path: str) -> bool:
    """Return whether a path, relative to the environment, is a part of the environment itself."""
    return bool(_OWN.fullmatch(path))


def is_virtual(environment: Path) -> bool:
    """Return whether bin/python is the Python of this environment and of nothing else."""
    try:
        settings = (environment / "pyvenv.cfg").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    homes = re.findall(r"^\s*home\s*=\s*(.+?)\s*$", settings, re.MULTILINE)
    python = environment / "bin" / "python"
    return bool(homes) and os.path.isdir(homes[0]) and python.exists()
