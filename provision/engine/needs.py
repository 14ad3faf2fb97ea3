"""Measure whether this host meets the needs of a step: space, memory, glibc, locks, symbols."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from provision.engine import environments, locks
from provision.steps.model import Need

_MIB = 1024 * 1024


class NeedResult(msgspec.Struct, frozen=True):
    """One sentence with the needed and the present amount, and whether the need is met."""

    text: str
    met: bool


def measure(need: Need) -> NeedResult:
    if need.kind == "memory":
        return _enough("memory", need.mb, _memory_mb(), "this host")
    if need.kind == "glibc":
        return _glibc(need.version)
    if need.kind == "torch's symbols":
        return _symbols(need)
    if need.kind == "library":
        met = _loads(need.path)
        return NeedResult(f"{need.path} {'can' if met else 'cannot'} be loaded", met)
    if need.kind in _TRIED:
        return _tried(_TRIED[need.kind], need.path)
    folder = nearest_existing(Path(need.path))
    if need.kind == "locks":
        met = locks.supported(folder)
        return NeedResult(
            f"the file system of {folder} {'supports' if met else 'does not support'} locks", met
        )
    if need.beside and folder.stat().st_dev == nearest_existing(Path(need.beside)).stat().st_dev:
        return NeedResult(f"{folder} is on the same disk as {need.beside}", met=True)
    space = os.statvfs(folder)
    return _enough("disk space", need.mb, space.f_bavail * space.f_frsize // _MIB, str(folder))


def hint_for(need: Need, environment: Path) -> str:
    """Return the hint for a need that is not met; suggest `prune` only if it would free space."""
    spare = [
        other
        for other in environments.list_prunable(environment.parent, keep=1)
        if other.path != str(environment)
    ]
    if need.kind == "free space" and not need.beside and spare:
        return f"./setup.sh prune --set keep=1 removes older environments; or {need.hint}"
    return need.hint


def nearest_existing(path: Path) -> Path:
    """Return the folder or its nearest existing parent, which is on the same disk."""
    while not path.is_dir():
        path = path.parent
    return path


def _enough(what: str, needed: int, free: int, where: str) -> NeedResult:
    return NeedResult(
        f"{needed} MB of {what} are needed, {free} MB are free on {where}", free >= needed
    )


def _glibc(needed: str) -> NeedResult:
    try:
        version = (os.confstr("CS_GNU_LIBC_VERSION") or "").removeprefix("glibc ")
    except (OSError, ValueError):
        version = ""
    return NeedResult(
        f"glibc {needed} or newer is needed, this host has {version or 'no glibc'}",
        bool(version) and _numbers(version) >= _numbers(needed),
    )


def _symbols(need: Need) -> NeedResult:
    from provision.binary import libraries, wheel  # they load the parser of machine code
    from provision.plan import against_wheel

    path, torch, version = Path(need.path), Path(need.beside), need.version
    if not path.is_file() or not torch.is_dir():
        return NeedResult(f"{path.name} has not been compared with torch {version} yet", met=False)
    try:
        against = against_wheel.reasons_against(
            wheel.read(path),
            glibc=need.glibc,
            capabilities=need.capabilities,
            torch=libraries.read(torch),
            torch_version=version,
        )
    except ValueError as error:
        return NeedResult(str(error), met=False)
    return NeedResult(
        "; ".join(against) or f"{path.name} finds its symbols in torch {version}", not against
    )


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _tried(attempt: Callable[[str], str], path: str) -> NeedResult:
    try:
        return NeedResult(attempt(path), met=True)
    except OSError as error:
        return NeedResult(f"{path or '127.0.0.1'}: {error.strerror or error}", met=False)


def _shared_memory(folder: str) -> str:
    """Write to a new file there, as semaphores and shared tensors do."""
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"x" * _MIB)
        file.flush()
    return f"{folder} can be used"


def _readable(folder: str) -> str:
    if not os.listdir(folder):
        raise OSError(errno.ENOENT, "is empty")
    return f"{folder} can be read"


def _loopback(_: str) -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        with socket.create_connection(address, timeout=5):
            return "a port of 127.0.0.1 answers"


_TRIED: dict[str, Callable[[str], str]] = {
    "shared memory": _shared_memory,
    "readable": _readable,
    "loopback": _loopback,
}


# As text, 2.9 would be newer than 2.28.
def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _memory_mb() -> int:
    """Return the available memory of the host, or of the container if it has less."""
    host = next(
        int(line.split()[1]) // 1024
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        if line.startswith("MemAvailable:")
    )
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii"))
        used = int(Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):  # no such file, or "max"
        return host
    return min(host, (limit - used) // _MIB)
