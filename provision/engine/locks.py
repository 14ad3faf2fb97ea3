"""Kernel locks that allow one run at a time in a prefix; they name their owner and end with it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pwd
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from provision.doors import files
from provision.errors import Locked, NotWritable, UnusablePrefix

FILE = ".lock"
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
_LEFTOVER_S = 5.0  # for the last command of a killed run to end


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """The holder of a lock; `born` tells a process from a later one with the same pid."""

    pid: int
    born: str
    place: str
    verb: str
    since: str


@contextlib.contextmanager
def hold(prefix: Path, verb: str, *, only_look: bool = False) -> Iterator[int]:
    """Lock a prefix against other runs and yield the lock's file descriptor.

    Commands that change the prefix inherit the descriptor: the lock then lasts until the last of
    them ends, even if this run is killed. With `only_look`, a prefix that cannot be written is
    locked against changes, and the lock has no owner.
    """
    handle, kind = _open(prefix, only_look=only_look)
    try:
        _acquire(handle, prefix, kind)
        if kind == fcntl.LOCK_EX:
            _name_owner(handle, verb)
        yield handle
    finally:
        # Never unlinked: two runs would then hold locks on two files of the same name.
        os.close(handle)


@contextlib.contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Lock a folder that this run fills alone; the folder itself is the lock.

    A missing folder is created, and removed again if it stays empty.
    """
    missing = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise NotWritable(
            f"cannot be written: {error.strerror}",
            where=str(folder),
            hint="name a folder that you may write, on a disk with free space",
        ) from error
    try:
        _lock_out(handle, folder)
        yield
    finally:
        os.close(handle)
        if missing:
            with contextlib.suppress(OSError):
                folder.rmdir()


def _lock_out(handle: int, folder: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise Locked(
                "another run writes to this folder",
                where=str(folder),
                hint="wait until it ends, or name another folder",
            ) from error


def supported(folder: Path) -> bool:
    """Return whether the file system of a folder has kernel locks."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return True


def _open(prefix: Path, *, only_look: bool) -> tuple[int, int]:
    """Return the lock file and the kind of lock: exclusive, or shared by runs that only look."""
    try:
        prefix.mkdir(parents=True, exist_ok=True)
        return os.open(prefix / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644), fcntl.LOCK_EX
    except OSError as error:
        if only_look:
            with contextlib.suppress(OSError):
                return os.open(prefix / FILE, os.O_RDONLY | os.O_CLOEXEC), fcntl.LOCK_SH
        raise _unusable(prefix, error) from error


def _unusable(prefix: Path, error: OSError) -> UnusablePrefix:
    what, hint = f"cannot be written: {error.strerror}", "name another prefix: --prefix DIR"
    existing = next(
        path for path in (prefix / FILE, prefix, *prefix.parents) if os.path.lexists(path)
    )
    owner = existing.lstat().st_uid
    if error.errno in (errno.EACCES, errno.EPERM) and owner != os.geteuid():
        name = _user_name(owner)
        what, hint = f"{what}: {existing} belongs to {name}", f"{hint}, or run it as {name}"
    return UnusablePrefix(what, where=str(prefix), hint=hint)


def _user_name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user id {user}"


def _acquire(handle: int, prefix: Path, kind: int) -> None:
    deadline = time.monotonic() + _LEFTOVER_S
    while True:
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = _owner(handle)
            # A command of a killed run may need a moment to end. A live run may take hours.
            if owner is None or not _gone(owner) or time.monotonic() > deadline:
                raise _locked(owner, prefix) from None
            time.sleep(0.05)
        except OSError as error:
            is_missing = error.errno in _NO_LOCKS
            what = "this file system does not support locks" if is_missing else "cannot be locked"
            raise UnusablePrefix(
                f"{what}: {error.strerror}",
                where=str(prefix),
                hint="name a prefix on a local disk: --prefix DIR",
            ) from error
        else:
            return


def _locked(owner: Owner | None, prefix: Path) -> Locked:
    if owner is None:
        return Locked("another run works here", where=str(prefix), hint="wait until it ends")
    who = f"pid {owner.pid}" + ("" if owner.place == _place() else f" on {owner.place.split()[0]}")
    if _gone(owner):
        return Locked(
            f"`{owner.verb}` ({who}, since {owner.since}) was killed, but a command that it started"
            " still runs here, or another user's check",
            where=str(prefix),
            hint="wait until that ends, or end it",
        )
    return Locked(
        f"another run works here: `{owner.verb}`, {who}, since {owner.since}",
        where=str(prefix),
        hint="wait until it ends",
    )


def _name_owner(handle: int, verb: str) -> None:
    owner = Owner(
        pid=os.getpid(),
        born=_born(os.getpid()),
        place=_place(),
        verb=verb,
        since=time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
    )
    # The name is for people: `prune` must get the lock even on a full or failing disk.
    with contextlib.suppress(OSError):
        os.ftruncate(handle, 0)
        os.pwrite(handle, msgspec.json.encode(owner), 0)


def _owner(handle: int) -> Owner | None:
    # None while it is being written.
    return files.decode_document(os.pread(handle, 4096, 0), Owner)


def _gone(owner: Owner) -> bool:
    return owner.place == _place() and _born(owner.pid) != owner.born


def _place() -> str:
    """Return the host and its process namespace: a pid has a meaning only within one."""
    return f"{os.uname().nodename} {os.readlink('/proc/self/ns/pid')}"


def _born(pid: int) -> str:
    """Return the start of a process in ticks since boot; "" if it does not exist."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        # The name of the program is in parentheses and may itself contain blanks and parentheses.
        return stat.rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
