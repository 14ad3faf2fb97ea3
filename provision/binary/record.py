"""Read RECORD, the list of a distribution's files, and compare installed files with it."""

from __future__ import annotations

import base64
import csv
import hashlib
from typing import TYPE_CHECKING

import msgspec

from provision.doors import digest as file_digest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_LONGEST_NAME = 255  # bytes, on every Linux file system


class RecordEntry(msgspec.Struct, frozen=True):
    """One line of a RECORD.

    The path is relative to site-packages; digest and size may be empty.
    """

    path: str
    digest: str
    size: str


def read_entries(record: Path) -> list[RecordEntry]:
    """Read the lines of a RECORD. Raise ValueError if it is missing, cut short or malformed."""
    try:
        with record.open(encoding="utf-8", newline="") as lines:
            return parse_entries(lines)
    except (OSError, ValueError) as error:
        raise ValueError(f"{record.parent.name}/RECORD: {error}") from error


def parse_entries(lines: Iterable[str]) -> list[RecordEntry]:
    """Parse the lines of a RECORD. Raise ValueError if they are malformed."""
    try:
        entries = [RecordEntry(*row) for row in csv.reader(lines, strict=True)]
    except (csv.Error, TypeError) as error:
        raise ValueError(str(error)) from error
    for entry in entries:
        if "\0" in entry.path or max(map(len, entry.path.encode().split(b"/"))) > _LONGEST_NAME:
            raise ValueError(f"no file can have this name: {entry.path[:60]!r}")
    return entries


def differences(site_packages: Path, dist_info: str) -> list[str]:
    """List the files of a distribution that are missing or not as its RECORD says.

    Raise ValueError if RECORD cannot be read.
    """
    return [
        entry.path
        for entry in read_entries(site_packages / dist_info / "RECORD")
        if not _is_as_recorded(site_packages, entry)
    ]


def unlisted_files(site_packages: Path) -> list[str]:
    """List the files below site-packages that no RECORD lists.

    Raise ValueError if a RECORD cannot be read.
    """
    records = sorted(site_packages.glob("*.dist-info/RECORD"))
    listed = {entry.path for record in records for entry in read_entries(record)}
    return [
        relative
        for path in sorted(site_packages.rglob("*"))
        if path.is_file() and path.suffix != ".pyc"  # interpreters write bytecode
        if (relative := path.relative_to(site_packages).as_posix()) not in listed
    ]


def matches(path: str | Path, digest: str) -> bool:
    """Return whether a file has the digest of its RECORD line; an empty digest matches any file."""
    algorithm, _, expected = digest.partition("=")
    if not digest:
        return True
    # SHAKE digests have no length of their own.
    is_known = algorithm in hashlib.algorithms_guaranteed and not algorithm.startswith("shake_")
    return is_known and digest_of(path, algorithm) == expected


def digest_of(path: str | Path, algorithm: str = "sha256") -> str:
    """Return the digest of a file's content as RECORD writes it, without the algorithm's name."""
    return encode_digest(file_digest.of_file(path, algorithm).digest())


def encode_digest(digest: bytes) -> str:
    """Encode a digest as RECORD writes it: URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _is_as_recorded(site_packages: Path, entry: RecordEntry) -> bool:
    path = site_packages / entry.path
    if not path.is_file() or entry.size not in ("", str(path.stat().st_size)):
        return False
    return matches(path, entry.digest)
