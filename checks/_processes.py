"""Lists and ends the processes that descend from this one."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from pathlib import Path

_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36


def adopt_orphans() -> None:
    """Become the parent of every orphan below this process, even after a setsid."""
    _prctl(_SET_CHILD_SUBREAPER, 1)


def die_with_parent(number: signal.Signals) -> None:
    _prctl(_SET_PDEATHSIG, number)


def _prctl(option: int, value: int) -> None:
    with contextlib.suppress(OSError, AttributeError):  # a libc without prctl
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def descendants(of: int | None = None) -> dict[int, str]:
    """Return number and name of every living process below this one; zombies are left out."""
    known: set[int] = set()
    while True:
        living, ended = _below(of or os.getpid())
        # A process that ends during the walk leaves its children to us, where the walk has
        # already been. Walk again until no further process has ended.
        if ended <= known:
            return living
        known |= ended


def _below(process: int) -> tuple[dict[int, str], set[int]]:
    living: dict[int, str] = {}
    ended: set[int] = set()
    parents = [process]
    while parents:
        for child in _children(parents.pop()):
            state, _, name = _stat(child)
            if state in "ZX":
                ended.add(child)
            else:
                living[child] = name
                parents.append(child)
    return living, ended


def _children(process: int) -> list[int]:
    # Kernels without CONFIG_PROC_CHILDREN do not list children: compare every process's parent.
    if not Path(f"/proc/self/task/{os.getpid()}/children").exists():
        numbers = [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]
        return [number for number in numbers if _stat(number)[1] == process]
    children: list[int] = []
    with contextlib.suppress(OSError):  # the process ended meanwhile
        for task in os.scandir(f"/proc/{process}/task"):
            children += map(int, Path(task.path, "children").read_text().split())
    return children


def _stat(process: int) -> tuple[str, int, str]:
    """Return state, parent and name of a process."""
    try:
        # The name may hold spaces and brackets, so the last bracket ends it.
        text = Path(f"/proc/{process}/stat").read_text(errors="replace")
        before, _, after = text.rpartition(")")
    except OSError:
        return "X", 0, ""
    state, parent = after.split()[:2]
    return state, int(parent), before.partition("(")[2]


def end_descendants(grace_s: float, spared: frozenset[int] = frozenset()) -> list[str]:
    """End everything below this process; return the names of what cannot be ended.

    Processes get SIGTERM and `grace_s` seconds, then SIGKILL and 5 more.
    """

    def running() -> dict[int, str]:
        return {number: name for number, name in descendants().items() if number not in spared}

    until = time.monotonic() + grace_s
    warned: set[int] = set()
    while (processes := running()) and time.monotonic() < until + 5.0:
        polite = time.monotonic() < until
        for number in processes:
            if not polite or number not in warned:
                warned.add(number)
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(number, signal.SIGTERM if polite else signal.SIGKILL)
        reap()
        time.sleep(0.02)
    reap()
    return sorted(processes.values())


def reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
