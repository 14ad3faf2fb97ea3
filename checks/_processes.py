"""The processes that descend from this one: kept within reach, listed and ended."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from pathlib import Path

_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36


def adopt_orphans() -> None:
    """What our children leave behind becomes our child, also after a setsid; so nothing gets out of sight."""
    _prctl(_SET_CHILD_SUBREAPER, 1)


def die_with_parent(number: signal.Signals) -> None:
    _prctl(_SET_PDEATHSIG, number)


def _prctl(option: int, value: int) -> None:
    with contextlib.suppress(OSError, AttributeError):  # another libc: the process group has to do
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def descendants(of: int | None = None) -> dict[int, str]:
    """Every living process below this one, with its name; those that only wait to be reaped are left out."""
    parents: dict[int, tuple[int, str]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):  # it ended while we looked
                before, _, after = (folder / "stat").read_text(errors="replace").rpartition(")")
                state, parent = after.split()[:2]
                if state not in "ZX":
                    parents[int(folder.name)] = (int(parent), before.partition("(")[2])
    mine, found = of or os.getpid(), dict[int, str]()
    for process, (_, name) in parents.items():
        above, seen = process, set[int]()
        while above in parents and above != mine and above not in seen:
            seen.add(above)
            above = parents[above][0]
        if above == mine and process != mine:
            found[process] = name
    return found


def end_descendants(grace_s: float, spared: frozenset[int] = frozenset()) -> list[str]:
    """End everything below this process, politely for `grace_s` seconds; what cannot be ended is named."""

    def left() -> dict[int, str]:
        return {process: name for process, name in descendants().items() if process not in spared}

    until = time.monotonic() + grace_s
    asked: set[int] = set()
    while (those := left()) and time.monotonic() < until + 5.0:
        polite = time.monotonic() < until
        for process in those:
            if not polite or process not in asked:
                asked.add(process)
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(process, signal.SIGTERM if polite else signal.SIGKILL)
        reap()
        time.sleep(0.02)
    reap()
    return sorted(those.values())


def reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
