"""SIGTERM and SIGHUP end a run as Ctrl-C does: children go, the journal stays true, the lock is given back."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_heard: list[int] = []
_waits = False


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a handler's shape
    _heard.append(number)
    if not _waits:
        look()


def look() -> None:
    """Be interrupted now where an interruption was lost: one that comes inside a callback of Python's own is."""
    if _heard:
        raise KeyboardInterrupt(signal.Signals(_heard[-1]).name)


@contextlib.contextmanager
def later() -> Iterator[Callable[[], None]]:
    """While inside, an interruption waits; calling what this gives is being interrupted by it, afterwards."""
    global _waits  # noqa: PLW0603 - handlers run in one thread, whatever else goes on
    before = len(_heard)
    ours = threading.current_thread() is threading.main_thread()
    _waits |= ours
    try:
        yield lambda: look() if ours and len(_heard) > before else None
    finally:
        _waits &= not ours


@contextlib.contextmanager
def as_one() -> Iterator[None]:
    """While inside, every polite end is a KeyboardInterrupt; what was ignored (nohup) stays ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _heard.clear()
    before = {number: signal.getsignal(number) for number in _NUMBERS if signal.getsignal(number) is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        _heard.clear()
        for number, handler in before.items():
            signal.signal(number, handler)
