"""Whether what a step needs holds on this host: space, memory, glibc, locks; always with both numbers."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import msgspec

from provision.binary import libraries, wheel
from provision.engine import environments, locks
from provision.plan import against_wheel
from provision.steps.model import Need

_MIB = 1024 * 1024


class Measured(msgspec.Struct, frozen=True):
    """What is needed and what was found, in one sentence, and whether that will do."""

    said: str
    met: bool


def measure(need: Need) -> Measured:
    """Look at this host."""
    if need.kind == "memory":
        return _enough("memory", need.mb, _memory_mb(), "this host")
    if need.kind == "glibc":
        return _glibc(need.version)
    if need.kind == "torch's symbols":
        return _fits(need)
    if need.kind == "library":
        met = _loads(need.path)
        return Measured(f"{need.path} is {'here' if met else 'not here'}", met)
    folder = nearest(Path(need.path))
    if need.kind == "locks":
        met = locks.supported(folder)
        return Measured(f"the file system of {folder} has {'locks' if met else 'no locks'}", met)
    if need.beside and folder.stat().st_dev == nearest(Path(need.beside)).stat().st_dev:
        return Measured(f"{folder} lies on the same disk as {need.beside}", met=True)
    space = os.statvfs(folder)
    return _enough("disk space", need.mb, space.f_bavail * space.f_frsize // _MIB, str(folder))


def way_out(need: Need, generation: Path) -> str:
    """What to do about a need that is not met; `prune` is named where it would remove something."""
    spare = [one for one in environments.prunable(generation.parent, keep=1) if one.path != str(generation)]
    prune = need.kind == "free space" and not need.beside and spare
    return f"./setup.sh prune --set keep=1 removes older environments; or {need.hint}" if prune else need.hint


def nearest(path: Path) -> Path:
    """The folder, or what of its parents is there already: it lies on the same disk."""
    while not path.is_dir():
        path = path.parent
    return path


def _enough(what: str, needed: int, there: int, where: str) -> Measured:
    return Measured(f"{needed} MB of {what} are needed, {there} MB are free on {where}", there >= needed)


def _glibc(needed: str) -> Measured:
    try:
        here = (os.confstr("CS_GNU_LIBC_VERSION") or "").removeprefix("glibc ")
    except (OSError, ValueError):
        here = ""
    met = bool(here) and _numbers(here) >= _numbers(needed)
    return Measured(f"glibc {needed} or newer is needed, {here or 'no glibc'} is here", met)


def _fits(need: Need) -> Measured:
    """Whether a wheel's compiled files find in this torch what they were linked with, and suit this host."""
    path, of_torch, version = Path(need.path), Path(need.beside), need.version
    if not path.is_file() or not of_torch.is_dir():
        return Measured(f"{path.name} has not been compared with torch {version} yet", met=False)
    try:
        against = against_wheel.against(
            wheel.read(path),
            glibc=need.glibc,
            capabilities=need.capabilities,
            torch=libraries.read(of_torch),
            torch_version=version,
        )
    except ValueError as error:
        return Measured(str(error), met=False)
    return Measured("; ".join(against) or f"{path.name} finds its symbols in torch {version}", not against)


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _memory_mb() -> int:
    """What may still be taken: by the host, and by the container that we are in."""
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
