"""Free memory of this host and memory held by processes, to end a check that takes too much."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path


def free() -> int:
    """Return the bytes that are available, here and in every control group around us."""
    available = [_bytes("/proc/meminfo", "MemAvailable")]
    with contextlib.suppress(OSError):  # no control groups, or those of version 1
        own = Path("/proc/self/cgroup").read_text().partition("0::")[2].splitlines()[0]
        folder = Path("/sys/fs/cgroup") / own.strip("/")
        for group in (folder, *folder.parents):
            with contextlib.suppress(OSError, ValueError):  # not below the mount, or "max"
                limit = int((group / "memory.max").read_text())
                used = int((group / "memory.current").read_text())
                # The kernel drops inactive file pages before a group runs out of memory.
                available.append(limit - used + _counter(group / "memory.stat", "inactive_file"))
    return max(min(available), 0)


def held(processes: Iterable[int], limit: int) -> int:
    """Return the bytes that processes hold, without the pages of files on disk."""
    numbers = list(processes)
    resident = sum(map(_resident, numbers))
    # The kernel takes long to divide shared pages, so it is asked only if the sum is too large.
    if resident <= limit:
        return resident
    return sum(_proportional(number) or _resident(number) for number in numbers)


def _resident(process: int) -> int:
    return _bytes(f"/proc/{process}/status", "RssAnon", "RssShmem")


def _proportional(process: int) -> int:
    """Return the bytes with shared pages divided among their holders, or 0 if not readable."""
    return _bytes(f"/proc/{process}/smaps_rollup", "Pss_Anon", "Pss_Shmem")


def _bytes(path: str, *names: str) -> int:
    """Return the sum of these fields of a file that has kilobytes; 0 without it."""
    with contextlib.suppress(OSError):  # the process ended meanwhile
        rows = [line.split() for line in Path(path).read_text(errors="replace").splitlines()]
        return sum(int(row[1]) * 1024 for row in rows if row and row[0].rstrip(":") in names)
    return 0


def _counter(path: Path, name: str) -> int:
    rows = (line.split() for line in path.read_text().splitlines())
    return next((int(row[1]) for row in rows if row[0] == name), 0)
