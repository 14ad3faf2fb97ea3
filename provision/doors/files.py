"""The only place that writes files (aside, synced, renamed) and reads what the user names."""

from __future__ import annotations

import codecs
import contextlib
import errno
import os

from provision.errors import NotWritable, UnreadableInput

TYPE_CHECKING = False  # pathlib and typing are left out: reading a config must not cost milliseconds
if TYPE_CHECKING:
    from pathlib import Path

_HINTS = {
    errno.ENOENT: "there is no such folder: make it first, or name another place",
    errno.EROFS: "the file system is mounted read-only: name a folder elsewhere",
    errno.ENOSPC: "no space is left there: free some, or name a folder elsewhere",
    errno.EDQUOT: "the quota is used up there: free some space, or name a folder elsewhere",
    errno.EACCES: "name a folder that you may write, or ask its owner",
    errno.EPERM: "name a folder that you may write, or ask its owner",
    errno.ENOTDIR: "a part of this path is a file: name another folder",
    errno.EISDIR: "this is a folder: name a file",
    errno.ENAMETOOLONG: "the name is too long: choose a shorter one",
}


def write(path: Path, data: bytes | str, mode: int = 0o644, *, make_folders: bool = True) -> None:
    """Write a file whole or not at all: readers see the old content or the new, also after a crash.

    `make_folders` is for places of our own; where the user named the path, a missing folder is a slip of the pen.
    """
    content = data.encode() if isinstance(data, str) else data
    try:
        if make_folders:
            path.parent.mkdir(parents=True, exist_ok=True)
        _write_aside_and_rename(path, content, mode)
    except OSError as error:
        raise _not_writable(path, error) from error


def read_text(path: str | Path, limit: int = 16 * 1024 * 1024) -> str:
    """The text of a file that the user named; what is wrong with it is said in one sentence."""
    try:
        with open(path, "rb") as stream:
            content = stream.read(limit + 1)
    except OSError as error:
        raise UnreadableInput(
            f"cannot be read: {error.strerror}",
            where=str(path),
            hint="name a file that exists and that you may read",
        ) from error
    if len(content) > limit:
        raise UnreadableInput(
            f"is larger than {limit // (1024 * 1024)} MiB", where=str(path), hint="name the right file"
        )
    return as_text(content)


def as_text(content: bytes) -> str:
    """Windows puts a byte order mark in front, and its PowerShell writes what it redirects in UTF-16."""
    is_wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if is_wide else "utf-8-sig", "replace")


def _write_aside_and_rename(path: Path, content: bytes, mode: int) -> None:
    import tempfile
    from pathlib import Path

    handle, aside = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        Path(aside).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(aside).unlink()
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a crash; some network file systems cannot and say so."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def _not_writable(path: Path, error: OSError) -> NotWritable:
    return NotWritable(
        f"cannot be written: {error.strerror or error}",
        where=str(path),
        hint=_HINTS.get(error.errno or 0, "name another place"),
    )
