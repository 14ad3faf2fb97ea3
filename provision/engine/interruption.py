"""SIGTERM and SIGHUP end a run as Ctrl-C does: children go, the journal stays true, the lock is given back."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_heard: list[int] = []


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - a handler's shape
    _heard.append(number)
    raise KeyboardInterrupt(signal.Signals(number).name)


def look() -> None:
    """Be interrupted now where an interruption was lost: one that comes inside a callback of Python's own is."""
    if _heard:
        raise KeyboardInterrupt(signal.Signals(_heard[0]).name)


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
        for number, handler in before.items():
            signal.signal(number, handler)
