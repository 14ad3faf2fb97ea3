"""Wheels into the store: several at once, gone on with where a killed run stopped, none kept that is not as locked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Final

import msgspec

from provision.doors import download, sessions
from provision.engine import interruption, uv
from provision.engine.events import Progress, Subscriber
from provision.errors import NotWritable
from provision.steps import Fetch, Lock, Pin, Wheel

_AT_ONCE: Final = 8
_TOLD_EVERY_S: Final = 0.2
_GRACE_S: Final = 1.0


def fetch(action: Fetch, environment: Mapping[str, str], events: Subscriber) -> list[str]:
    """Have every file of an action in its folder; what was fetched, line by line."""
    folder = Path(action.folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lacking = _lacking(folder, action.wheels)
        if lacking:
            _Fetching(action.title, lacking, folder, uv.connection(environment), events).run()
    except OSError as error:
        raise NotWritable(
            f"the wheels cannot be kept: {error.strerror}",
            where=str(folder),
            hint="free some space, or name another disk: --prefix DIR; the same command goes on from here",
        ) from error
    there = len(action.wheels) - len(lacking)
    return [f"{there} lay in {folder}", *(f"fetched {sessions.scrubbed(wheel.url)}" for wheel in lacking)]


def sized(lock: Lock, environment: Mapping[str, str]) -> Lock:
    """The lock with the sizes that its index did not tell, as far as the files' own servers tell them."""
    connection = uv.connection(environment)

    def ask(pin: Pin) -> Pin:
        size = pin.wheel.size or download.size(pin.wheel.url, connection)
        return msgspec.structs.replace(pin, wheel=msgspec.structs.replace(pin.wheel, size=size))

    with ThreadPoolExecutor(2 * _AT_ONCE) as pool:
        return Lock(pins=tuple(pool.map(ask, lock.pins)))


def _lacking(folder: Path, wheels: Sequence[Wheel]) -> list[Wheel]:
    """The largest first: the last one to end should be a small one."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        there = pool.map(lambda wheel: download.is_there(folder / wheel.file, wheel.sha256), wheels)
        lacking = [wheel for wheel, is_there in zip(wheels, there, strict=True) if not is_there]
    return sorted(lacking, key=lambda wheel: -wheel.size)


class _Stopped(Exception):  # noqa: N818 - nothing is wrong: another one failed, or the user has had enough
    """This download was asked to stop."""


class _Fetching:
    """Downloads in threads; the thread that called waits, tells how far they are, and can be interrupted."""

    def __init__(
        self, title: str, wheels: list[Wheel], folder: Path, connection: sessions.Connection, events: Subscriber
    ) -> None:
        self._title, self._folder = title, folder
        self._left = iter(wheels)  # each thread takes the next one
        self._connection, self._events = connection, events
        self._turn, self._stop = threading.Lock(), threading.Event()
        self._bytes = 0
        known = all(wheel.size for wheel in wheels)
        self._total = sum(wheel.size for wheel in wheels) if known else 0

    def run(self) -> None:
        waiting = {_in_a_thread(self._work) for _ in range(_AT_ONCE)}
        try:
            while waiting:
                interruption.look()
                done, waiting = wait(waiting, timeout=_TOLD_EVERY_S, return_when=FIRST_EXCEPTION)
                _complain(done)
                self._events(Progress(title=self._title, done=self._bytes, total=self._total, unit="bytes"))
        finally:
            self._stop.set()
            wait(waiting, timeout=_GRACE_S)
        self._events(Progress(title=self._title, done=self._bytes, total=self._bytes, unit="bytes"))

    def _work(self) -> None:
        for wheel in self._left:
            download.download(wheel.url, wheel.sha256, self._folder / wheel.file, self._came, self._connection)

    def _came(self, count: int) -> None:
        if self._stop.is_set():
            raise _Stopped
        with self._turn:
            self._bytes += count


def _in_a_thread(work: Callable[[], None]) -> Future[None]:
    """Unlike a pool's, this thread keeps nobody waiting: it may hang on a source that says nothing."""
    future: Future[None] = Future()

    def run() -> None:
        try:
            work()
        except BaseException as failure:  # noqa: BLE001 - whoever waits for it has it
            future.set_exception(failure)
        else:
            future.set_result(None)

    threading.Thread(target=run, name="download", daemon=True).start()
    return future


def _complain(done: set[Future[None]]) -> None:
    """What went wrong first; that the others were stopped for it is no news."""
    failures = [failure for each in done if (failure := each.exception()) and not isinstance(failure, _Stopped)]
    if failures:
        raise failures[0]
