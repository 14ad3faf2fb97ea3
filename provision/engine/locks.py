"""One run at a time in a prefix: a kernel lock whose owner can be named, and that dies with its owner."""

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

from provision.errors import Locked, NotWritable, UnusablePrefix

FILE = ".lock"
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
_LEFTOVER_S = 5.0


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds the lock. `born` tells a process from a later one with the same number."""

    pid: int
    born: str
    place: str
    verb: str
    since: str


@contextlib.contextmanager
def hold(prefix: Path, verb: str, *, only_look: bool = False) -> Iterator[int]:
    """Keep every other run out of a prefix; yields the lock's handle.

    Commands that change the prefix inherit the handle: the lock then lasts until the last of them is gone,
    however the run itself ended. Who is there `only_look`ing need not be able to write, and is then not named.
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
def alone(folder: Path) -> Iterator[None]:
    """Keep another run out of a folder in which nothing but what was asked for may lie: the folder itself is locked.

    It is made where it is missing, and goes again where nothing came into it.
    """
    missing = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        hint = "name a folder that you may write, where there is room"
        raise NotWritable(f"cannot be written: {error.strerror}", where=str(folder), hint=hint) from error
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
            hint = "wait until it has ended, or name another folder"
            raise Locked("another run fills this folder", where=str(folder), hint=hint) from error


def supported(folder: Path) -> bool:
    """Whether the file system of a folder has kernel locks."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in _NO_LOCKS
    finally:
        os.close(handle)
    return True


def _open(prefix: Path, *, only_look: bool) -> tuple[int, int]:
    """The lock's file, and how it can be locked: alone, or together with others who only look."""
    try:
        prefix.mkdir(parents=True, exist_ok=True)
        return os.open(prefix / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644), fcntl.LOCK_EX
    except OSError as error:
        if only_look:
            with contextlib.suppress(OSError):
                return os.open(prefix / FILE, os.O_RDONLY | os.O_CLOEXEC), fcntl.LOCK_SH
        raise _unusable(prefix, error) from error


def _unusable(prefix: Path, error: OSError) -> UnusablePrefix:
    what, hint = f"cannot be written: {error.strerror}", "name another place: --prefix DIR"
    there = next(path for path in (prefix / FILE, prefix, *prefix.parents) if os.path.lexists(path))
    owner = there.lstat().st_uid
    if error.errno in (errno.EACCES, errno.EPERM) and owner != os.geteuid():
        what, hint = f"{what}: {there} belongs to {_name(owner)}", f"{hint}, or run it as {_name(owner)}"
    return UnusablePrefix(what, where=str(prefix), hint=hint)


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user id {user}"


def _acquire(handle: int, prefix: Path, kind: int) -> None:
    until = time.monotonic() + _LEFTOVER_S
    while True:
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = _owner(handle)
            # A command of a killed run may need a moment to go; a run that is alive is not waited for.
            if owner is None or not _gone(owner) or time.monotonic() > until:
                raise _locked(owner, prefix) from None
            time.sleep(0.05)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            raise UnusablePrefix(
                f"this file system has no locks: {error.strerror}",
                where=str(prefix),
                hint="name a prefix on a local disk: --prefix DIR",
            ) from error
        else:
            return


def _locked(owner: Owner | None, prefix: Path) -> Locked:
    if owner is None:
        return Locked("another run works here", where=str(prefix), hint="wait until it has ended")
    who = f"pid {owner.pid}" + ("" if owner.place == _place() else f" on {owner.place.split()[0]}")
    if _gone(owner):
        return Locked(
            f"`{owner.verb}` ({who}, since {owner.since}) was killed, but a command that it started still runs here,"
            " or another user's check",
            where=str(prefix),
            hint="wait until that has ended, or end it",
        )
    return Locked(
        f"another run works here: `{owner.verb}`, {who}, since {owner.since}",
        where=str(prefix),
        hint="wait until it has ended",
    )


def _name_owner(handle: int, verb: str) -> None:
    owner = Owner(
        pid=os.getpid(),
        born=_born(os.getpid()),
        place=_place(),
        verb=verb,
        since=time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
    )
    os.ftruncate(handle, 0)
    with contextlib.suppress(OSError):  # on a full disk the lock holds without a name: `prune` must get in
        os.pwrite(handle, msgspec.json.encode(owner), 0)


def _owner(handle: int) -> Owner | None:
    try:
        return msgspec.json.decode(os.pread(handle, 4096, 0), type=Owner)
    except msgspec.MsgspecError:  # it is being written just now
        return None


def _gone(owner: Owner) -> bool:
    return owner.place == _place() and _born(owner.pid) != owner.born


def _place() -> str:
    """The host and the process namespace: a pid means something only there."""
    return f"{os.uname().nodename} {os.readlink('/proc/self/ns/pid')}"


def _born(pid: int) -> str:
    """When a process started, in ticks since boot; empty where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
