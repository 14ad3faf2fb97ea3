"""What a finished environment looked like, file by file, so that the next run need only look and not read."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path

import msgspec

from provision.binary import record
from provision.doors import digest as hashes
from provision.doors import files

FILE = "manifest.json"


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """One file: what `stat` says of it, and its SHA-256 as RECORD writes it (for a link: where it points)."""

    path: str
    size: int
    mtime_ns: int
    inode: int
    digest: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Every file of a generation when it was verified, and during which boot that was."""

    boot: str
    files: tuple[Mark, ...]


def mark(path: str, name: str, status: os.stat_result) -> Mark:
    """Look at a file and read it."""
    digest = f"-> {os.readlink(path)}" if stat.S_ISLNK(status.st_mode) else f"sha256={_digest(path, 'sha256')}"
    return Mark(name, status.st_size, status.st_mtime_ns, status.st_ino, digest)


def is_still(known: Mark, status: os.stat_result) -> bool:
    """Whether this is the very file that was read, as far as `stat` can tell."""
    return (known.size, known.mtime_ns, known.inode) == (status.st_size, status.st_mtime_ns, status.st_ino)


def matches(found: Mark, path: str, digest: str) -> bool:
    """Whether a file is what RECORD says; a line without a digest asks only that it is there."""
    algorithm, _, expected = digest.partition("=")
    if algorithm in ("", "sha256"):
        return digest in ("", found.digest)
    return algorithm in hashlib.algorithms_guaranteed and _digest(path, algorithm) == expected


def write(state: Path, marks: Iterable[Mark]) -> None:
    manifest = Manifest(boot=_boot(), files=tuple(marks))
    files.write(state / FILE, msgspec.json.encode(manifest))


def read(state: Path) -> Manifest | None:
    """The manifest, of whichever boot."""
    try:
        return msgspec.json.decode((state / FILE).read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError):
        return None


def of_this_boot(state: Path) -> Manifest | None:
    """The manifest; None where there is none, or the host was started anew since and contents must be read once."""
    manifest = read(state)
    return manifest if manifest and manifest.boot == _boot() else None


def changed(generation: Path, manifest: Manifest) -> list[str]:
    """The files that are not as they were: one stat each, and the contents only of those that look different."""
    root = f"{generation}/"
    return [known.path for known in manifest.files if not _stands(root + known.path, known)]


def of_the_environment_itself(generation: Path, besides: Iterable[Mark], written: Iterable[str]) -> list[Mark]:
    """Marks of what no distribution brought: the interpreter's links, activate scripts, files that steps wrote."""
    listed = {known.path for known in besides}
    root = f"{generation}/"
    paths = {f"{generation}/pyvenv.cfg", *(f"{folder}" for folder in (generation / "bin").glob("*"))}
    paths |= {path for path in written if path.startswith(root)}
    return [
        mark(path, path.removeprefix(root), os.lstat(path))
        for path in sorted(paths)
        if path.removeprefix(root) not in listed and (os.path.isfile(path) or os.path.islink(path))
    ]


def _stands(path: str, known: Mark) -> bool:
    try:
        status = os.lstat(path)
        if status.st_size != known.size:
            return False
        if status.st_mtime_ns == known.mtime_ns and status.st_ino == known.inode:
            return not stat.S_ISLNK(status.st_mode) or os.path.exists(path)
        return mark(path, known.path, status).digest == known.digest
    except OSError:
        return False


def _digest(path: str, algorithm: str) -> str:
    return record.encoded(hashes.of_file(path, algorithm).digest())


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
