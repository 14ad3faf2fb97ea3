"""Whether what a step needs holds on this host: space, memory, locks, files; refused early and with numbers."""

from __future__ import annotations

import os
from pathlib import Path

from provision.engine import locks
from provision.steps import Need

_MIB = 1024 * 1024


def problem(need: Need) -> str:
    """What stands against a need, in one sentence; empty where it is met."""
    if need.kind == "file":
        return "" if Path(need.path).exists() else f"{need.path} is not there"
    if need.kind == "memory":
        return _short("memory", _memory_mb(), need.mb, "this host")
    folder = _nearest(Path(need.path))
    if need.kind == "locks":
        return "" if locks.supported(folder) else f"the file system of {folder} has no locks"
    space = os.statvfs(folder)
    return _short("disk space", space.f_bavail * space.f_frsize // _MIB, need.mb, str(folder))


def _short(what: str, there: int, needed: int, where: str) -> str:
    return "" if there >= needed else f"{needed} MB of {what} are needed, {there} MB are free on {where}"


def _nearest(path: Path) -> Path:
    """The folder, or what of its parents is there already: it lies on the same disk."""
    while not path.is_dir():
        path = path.parent
    return path


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
