"""Compare installed distributions with their RECORD: missing, changed and unlisted files."""

from __future__ import annotations

import base64
import csv
import hashlib
from typing import TYPE_CHECKING, Literal

import msgspec

from provision.doors import digest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One file that differs from its RECORD; the path is relative to site-packages."""

    path: str
    what: Literal["missing", "size differs", "hash differs", "unlisted"]
    detail: str = ""


class Entry(msgspec.Struct, frozen=True):
    """One line of a RECORD; the path is relative to site-packages, digest and size may be empty."""

    path: str
    digest: str
    size: str


def differences(site_packages: Path, dist_info: str) -> list[Finding]:
    """Return the files of one distribution that differ from its RECORD.

    Raise ValueError if it is unreadable.
    """
    findings = (
        _difference(site_packages, entry) for entry in entries(site_packages / dist_info / "RECORD")
    )
    return [finding for finding in findings if finding]


def unlisted(site_packages: Path) -> list[Finding]:
    """Return files that no RECORD lists, except bytecode, which interpreters write."""
    records = sorted(site_packages.glob("*.dist-info/RECORD"))
    listed = {entry.path for record in records for entry in entries(record)}
    return [
        Finding(path=relative, what="unlisted")
        for path in sorted(site_packages.rglob("*"))
        if path.is_file() and path.suffix != ".pyc"
        if (relative := path.relative_to(site_packages).as_posix()) not in listed
    ]


def entries(record: Path) -> list[Entry]:
    """Return the lines of a RECORD. Raise ValueError if it is missing or damaged."""
    try:
        with record.open(encoding="utf-8", newline="") as lines:
            return parsed(lines)
    except (OSError, ValueError) as error:
        raise ValueError(f"{record.parent.name}/RECORD: {error}") from error


def parsed(lines: Iterable[str]) -> list[Entry]:
    """Parse the lines of a RECORD. Raise ValueError if they are malformed."""
    try:
        return [Entry(*row) for row in csv.reader(lines, strict=True)]
    except (csv.Error, TypeError) as error:
        raise ValueError(str(error)) from error


def _difference(site_packages: Path, entry: Entry) -> Finding | None:
    path = site_packages / entry.path
    if not path.is_file():
        return Finding(path=entry.path, what="missing")
    size = path.stat().st_size
    if entry.size and entry.size != str(size):
        return Finding(
            path=entry.path, what="size differs", detail=f"{size} bytes, {entry.size} in RECORD"
        )
    algorithm, _, expected = entry.digest.partition("=")
    if algorithm in hashlib.algorithms_guaranteed and encoded(digest.of_file(path, algorithm).digest()) != expected:
        return Finding(path=entry.path, what="hash differs", detail=algorithm)
    return None


def encoded(digest: bytes) -> str:
    """Return a digest as RECORD writes it."""
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
