"""Writing files atomically, and reading files that the user names."""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import stat

from provision.errors import NotWritable, StepFailed, UnreadableInput

TYPE_CHECKING = False  # `from typing import` would cost a tenth of the time of `--help`
if TYPE_CHECKING:
    from pathlib import Path
    from typing import TypeVar

    T = TypeVar("T")

_ASIDE = ".unfinished"  # the end of the name of a file until it is renamed
_HINTS = {
    errno.ENOENT: "this folder does not exist: create it, or name another one",
    errno.EROFS: "the file system is mounted read-only: name another folder",
    errno.ENOSPC: "no space is left on this disk: free some, or name another folder",
    errno.EDQUOT: "the disk quota is used up: free some space, or name another folder",
    errno.EACCES: "name a folder that you may write, or ask its owner for permission",
    errno.EPERM: "name a folder that you may write, or ask its owner for permission",
    errno.ENOTDIR: "a part of this path is a file: name another folder",
    errno.EISDIR: "this is a folder: name a file",
    errno.ENAMETOOLONG: "the name is too long: choose a shorter one",
}


def write(path: Path, data: bytes | str, mode: int = 0o644, *, make_folders: bool = True) -> None:
    """Write a file completely or not at all: a crash leaves the old content.

    Use `make_folders=False` for a path that the user typed: a missing folder is then a typo.
    """
    content = data.encode() if isinstance(data, str) else data
    try:
        if make_folders:
            path.parent.mkdir(parents=True, exist_ok=True)
        _write_aside_and_rename(path, content, mode)
    except OSError as error:
        raise NotWritable(
            f"cannot be written: {error.strerror or error}",
            where=str(path),
            hint=_HINTS.get(error.errno or 0, "name another folder"),
        ) from error


def read_text(path: str | Path, limit: int = 16 * 1024 * 1024) -> str:
    """Return the text of a file that the user named; raise UnreadableInput if it cannot be read."""
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
            f"is larger than {limit // (1024 * 1024)} MiB",
            where=str(path),
            hint="check that this is the right file",
        )
    return as_text(content)


def read_own(path: Path) -> bytes:
    """Return the content of our own file; raise OSError also where a pipe stands in its place.

    Reading a pipe would wait for a writer, for ever.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(handle, "rb") as stream:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "is not a regular file")
        return stream.read()


def write_own(path: Path, data: bytes | str, mode: int = 0o644) -> None:
    """Write a file of an environment, whatever stands in its place: nothing there is the user's."""
    if path.is_dir():
        with contextlib.suppress(OSError):  # then writing explains what is wrong
            remove_own(path)
    write(path, data, mode)


def remove_own(path: Path) -> None:
    """Remove a file of an environment, or whatever stands in its place."""
    import shutil

    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def read_document(path: Path, kind: type[T]) -> T | None:
    """Return our own JSON document; None where it is missing or damaged, and is written again."""
    try:
        return decode_document(read_own(path), kind)
    except OSError:
        return None


def decode_document(content: bytes, kind: type[T]) -> T | None:
    """Return the JSON document in this content, None if it is damaged in any way."""
    import msgspec  # here: the command line is loaded without it

    try:
        return msgspec.json.decode(content, type=kind)
    except (ValueError, RecursionError):  # a MsgspecError, or text that is no UTF-8
        return None


def as_text(content: bytes) -> str:
    """Decode a text file, also from Windows: with a byte order mark, or UTF-16 from PowerShell."""
    return content.decode(
        "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig",
        "replace",
    )


def _write_aside_and_rename(path: Path, content: bytes, mode: int) -> None:
    import tempfile
    from pathlib import Path

    # In the same folder, because a rename across file systems is not atomic. A long name is cut to
    # leave room for the random part.
    handle, aside = tempfile.mkstemp(prefix=f".{path.name[:100]}.", suffix=_ASIDE, dir=path.parent)
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
    sync_folder(path.parent)


def remove_unfinished(folder: Path) -> None:
    """Remove what killed writers have left in a folder that no one else writes to now."""
    for aside in folder.glob(f".*{_ASIDE}"):
        aside.unlink(missing_ok=True)


def sync_file_system(folder: Path) -> None:
    """Write all of this folder's file system to the disk; raise StepFailed if that fails."""
    import ctypes

    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(handle):
            number = ctypes.get_errno()
            raise StepFailed(
                f"cannot be written to the disk: {os.strerror(number)}",
                where=str(folder),
                hint="look at the disk (dmesg, df); the same command resumes",
            )
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems refuse it
            raise
    finally:
        os.close(handle)
