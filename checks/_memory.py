"""Free memory of this host and memory held by processes, to end a check that takes too much."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path


def free() -> int:
    """Return the bytes that are available, here and in every control group around us."""
    available = [_field(Path("/proc/meminfo"), "MemAvailable")]
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
    status = Path(f"/proc/{process}/status")
    return sum(_field(status, name) for name in ("RssAnon", "RssShmem"))


def _proportional(process: int) -> int:
    """Return the bytes with shared pages divided among their holders, or 0 if not readable."""
    rollup = Path(f"/proc/{process}/smaps_rollup")
    return sum(_field(rollup, name) for name in ("Pss_Anon", "Pss_Shmem"))


def _field(path: Path, name: str) -> int:
    with contextlib.suppress(OSError):  # the process ended meanwhile
        for line in path.read_text(errors="replace").splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return 0


def _counter(path: Path, name: str) -> int:
    rows = (line.split() for line in path.read_text().splitlines())
    return next((int(row[1]) for row in rows if row[0] == name), 0)
