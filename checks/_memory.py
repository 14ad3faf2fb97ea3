"""How much memory is left here and how much processes hold, so that a check that runs away is ended in time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path


def free() -> int:
    """Bytes that may still be taken, here and in every control group around us."""
    left = [_field(Path("/proc/meminfo"), "MemAvailable")]
    with contextlib.suppress(OSError):  # no control groups here, or of the first version
        own = Path("/proc/self/cgroup").read_text().partition("0::")[2].splitlines()[0]
        folder = Path("/sys/fs/cgroup") / own.strip("/")
        for group in (folder, *folder.parents):
            with contextlib.suppress(OSError, ValueError):  # not below the mount, or no limit: "max"
                limit = int((group / "memory.max").read_text())
                used = int((group / "memory.current").read_text())
                left.append(limit - used + _counted(group / "memory.stat", "inactive_file"))
    return max(min(left), 0)


def held(processes: Iterable[int], room: int) -> int:
    """Bytes of their own: what they share with files on disk goes away by itself.

    What they share with each other is counted once only where it matters: the kernel takes long to tell.
    """
    every = list(processes)
    taken = sum(map(_resident, every))
    return taken if taken <= room else sum(_share(process) or _resident(process) for process in every)


def _resident(process: int) -> int:
    return sum(_field(Path(f"/proc/{process}/status"), name) for name in ("RssAnon", "RssShmem"))


def _share(process: int) -> int:
    """With what several hold divided among them; nothing where the kernel does not say."""
    return sum(_field(Path(f"/proc/{process}/smaps_rollup"), name) for name in ("Pss_Anon", "Pss_Shmem"))


def _field(path: Path, name: str) -> int:
    with contextlib.suppress(OSError):  # it ended while we looked
        for line in path.read_text(errors="replace").splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return 0


def _counted(path: Path, name: str) -> int:
    return next((int(line.split()[1]) for line in path.read_text().splitlines() if line.split()[0] == name), 0)
