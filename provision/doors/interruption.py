"""Interruptions: SIGTERM and SIGHUP end a run in the same orderly way as Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_received: list[int] = []
_deferring = False


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a handler's shape
    _received.append(number)
    if not _deferring:
        raise_pending()


def raise_pending() -> None:
    """Raise KeyboardInterrupt if an interruption was received.

    Python swallows an exception that a handler raises inside some of its own callbacks (a
    destructor, for example), so long loops ask again.
    """
    if _received:
        raise KeyboardInterrupt(signal.Signals(_received[-1]).name)


@contextlib.contextmanager
def deferred() -> Iterator[Callable[[], None]]:
    """Defer interruptions inside the block; the yielded function raises one that was deferred."""
    global _deferring  # noqa: PLW0603 - signal handlers run only in the main thread
    before = len(_received)
    is_main = threading.current_thread() is threading.main_thread()
    _deferring |= is_main
    try:
        yield lambda: raise_pending() if is_main and len(_received) > before else None
    finally:
        _deferring &= not is_main


@contextlib.contextmanager
def as_keyboard_interrupt() -> Iterator[None]:
    """Turn every polite signal inside the block into a KeyboardInterrupt."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _received.clear()
    handlers = {number: signal.getsignal(number) for number in _NUMBERS}
    # A signal that the caller ignores stays ignored: nohup relies on that.
    before = {number: handler for number, handler in handlers.items() if handler != signal.SIG_IGN}
    for number in before:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        _received.clear()
        for number, handler in before.items():
            signal.signal(number, handler)
