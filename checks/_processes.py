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
    """Every living process below this one, with its name; those that only wait to be reaped are left out.

    Whoever ends while we look leaves his children to us, where we have looked already: then we look again.
    """
    known: set[int] = set()
    while True:
        found, ended = _below(of or os.getpid())
        if ended <= known:
            return found
        known |= ended


def _below(process: int) -> tuple[dict[int, str], set[int]]:
    """The living ones, and the ended."""
    found: dict[int, str] = {}
    ended: set[int] = set()
    above = [process]
    while above:
        for child in _children(above.pop()):
            state, _, name = _told(child)
            if state in "ZX":
                ended.add(child)
            else:
                found[child] = name
                above.append(child)
    return found, ended


def _children(process: int) -> list[int]:
    """As the kernel lists them, for each thread; where it does not, by asking every process."""
    if not Path(f"/proc/self/task/{os.getpid()}/children").exists():
        return [int(one.name) for one in Path("/proc").glob("[0-9]*") if _told(int(one.name))[1] == process]
    found: list[int] = []
    with contextlib.suppress(OSError):  # it ended while we looked
        for task in os.scandir(f"/proc/{process}/task"):
            found += map(int, Path(task.path, "children").read_text().split())
    return found


def _told(process: int) -> tuple[str, int, str]:
    """State, parent and name."""
    try:
        before, _, after = Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")
    except OSError:
        return "X", 0, ""
    state, parent = after.split()[:2]
    return state, int(parent), before.partition("(")[2]


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
