"""The manifest: the state of every file of a verified environment, for cheap later comparison."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

import msgspec

from provision.binary import record
from provision.doors import files
from provision.engine.boot import boot_id

FILE = "manifest.json"


class FileMark(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The state of one file: what `stat` reports, and its SHA-256 as RECORD writes it.

    For a symbolic link, `digest` holds the link's target.
    """

    path: str
    size: int
    mtime_ns: int
    inode: int
    digest: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Every file of an environment at its verification, and the boot id of the host then."""

    boot: str
    files: tuple[FileMark, ...]


def read_mark(path: str, name: str, status: os.stat_result) -> FileMark:
    """Read a file and return its mark under the given name."""
    digest = (
        f"-> {os.readlink(path)}"
        if stat.S_ISLNK(status.st_mode)
        else f"sha256={record.digest_of(path)}"
    )
    return FileMark(name, status.st_size, status.st_mtime_ns, status.st_ino, digest)


def is_unmodified(known: FileMark, status: os.stat_result) -> bool:
    """Return whether `stat` shows the same unmodified file as when the mark was made."""
    return (known.size, known.mtime_ns, known.inode) == (
        status.st_size,
        status.st_mtime_ns,
        status.st_ino,
    )


def matches(known: FileMark, path: str, digest: str) -> bool:
    """Return whether a file has the digest of its RECORD line, reading it only if necessary."""
    return digest == known.digest if digest.startswith("sha256=") else record.matches(path, digest)


def write(state: Path, marks: Iterable[FileMark]) -> None:
    files.write_own(state / FILE, msgspec.json.encode(Manifest(boot=boot_id(), files=tuple(marks))))


def read(state: Path) -> Manifest | None:
    """Read the manifest of any boot; return None if it is missing or unreadable."""
    return files.read_document(state / FILE, Manifest)


def read_of_this_boot(state: Path) -> Manifest | None:
    """Read the manifest if it was written since the host's last boot.

    After a reboot the caller must read all contents once: a crash may have damaged files in ways
    that `stat` does not show.
    """
    manifest = read(state)
    return manifest if manifest and manifest.boot == boot_id() else None


def changed_files(environment: Path, manifest: Manifest) -> list[str]:
    """List the files that differ from the manifest.

    Every file costs one `stat`; contents are read only of files whose `stat` differs.
    """
    # A `stat` below an open folder takes two thirds of the time of one with a long absolute path.
    top = os.open(environment, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return [
            known.path for known in manifest.files if not _is_unchanged(known, top, environment)
        ]
    finally:
        os.close(top)


def marks_of_other_files(
    environment: Path, besides: Iterable[FileMark], written: Iterable[str]
) -> list[FileMark]:
    """Return marks of the files that belong to no distribution.

    These are the interpreter's links, the activate scripts and the files that steps write.
    `besides` holds the marks of all distributions' files.
    """
    listed = {known.path for known in besides}
    root = f"{environment}/"
    paths = {f"{environment}/pyvenv.cfg", *map(str, (environment / "bin").glob("*"))}
    paths |= {path for path in written if path.startswith(root)}
    return [
        read_mark(path, path.removeprefix(root), os.lstat(path))
        for path in sorted(paths)
        if path.removeprefix(root) not in listed and (os.path.isfile(path) or os.path.islink(path))
    ]


def _is_unchanged(known: FileMark, top: int, environment: Path) -> bool:
    try:
        status = os.lstat(known.path, dir_fd=top)
        path = f"{environment}/{known.path}"
        if is_unmodified(known, status):
            # A link is unchanged only if its target still exists.
            return not stat.S_ISLNK(status.st_mode) or os.path.exists(path)
        return (
            status.st_size == known.size
            and read_mark(path, known.path, status).digest == known.digest
        )
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return False
