"""Wheels into the store: several at once, gone on with where a killed run stopped, none kept that is not as locked."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path
from types import TracebackType
from typing import Final

import msgspec

from provision.doors import download, interruption, sessions
from provision.engine import uv
from provision.engine.events import Progress, Subscriber
from provision.errors import NotWritable
from provision.steps.model import Fetch, Lock, Pin, Wheel

_AT_ONCE: Final = 8
_TOLD_EVERY_S: Final = 0.2
_GRACE_S: Final = 1.0


def fetch(action: Fetch, environment: Mapping[str, str], events: Subscriber) -> list[str]:
    """Have every file of one action in its folder; what was fetched, line by line."""
    with Fetching(environment, events) as fetching:
        return fetching.finish(action)


def sized(lock: Lock, environment: Mapping[str, str]) -> Lock:
    """The lock with the sizes that its index did not tell, as far as the files' own servers tell them."""
    connection = uv.connection(environment)

    def ask(pin: Pin) -> Pin:
        size = pin.wheel.size or download.size(pin.wheel.url, connection)
        return msgspec.structs.replace(pin, wheel=msgspec.structs.replace(pin.wheel, size=size))

    with ThreadPoolExecutor(2 * _AT_ONCE) as pool:
        return Lock(pins=tuple(pool.map(ask, lock.pins)))


class _Stopped(Exception):  # noqa: N818 - nothing is wrong: another one failed, or the user has had enough
    """This download was asked to stop."""


class _Job:
    """One wheel on its way; `came` counts its bytes, and its end says whether it had to be fetched."""

    def __init__(self, wheel: Wheel, folder: Path) -> None:
        self.wheel, self.path = wheel, folder / wheel.file
        self.came = 0
        self.end: Future[bool] = Future()


class Fetching(contextlib.AbstractContextManager["Fetching"]):
    """Downloads in threads, also while something else goes on; whoever needs some of it waits for just that.

    The threads are daemons: one may hang on a source that says nothing, and keeps nobody waiting.
    """

    def __init__(self, environment: Mapping[str, str], events: Subscriber) -> None:
        self._connection, self._events = uv.connection(environment), events
        self._jobs: dict[Path, _Job] = {}
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._stop = threading.Event()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for _ in self._threads:
            self._queue.put(None)
        wait([job.end for job in self._jobs.values() if job.end.running()], timeout=_GRACE_S)

    def begin(self, action: Fetch) -> None:
        """Let its wheels come, after those that were asked for before; the largest first, so that a small one ends."""
        for wheel in sorted(action.wheels, key=lambda wheel: -wheel.size):
            path = Path(action.folder) / wheel.file
            if path not in self._jobs or self._jobs[path].wheel.sha256 != wheel.sha256:
                self._jobs[path] = _Job(wheel, path.parent)
                self._queue.put(self._jobs[path])
        while len(self._threads) < min(_AT_ONCE, len(self._jobs)):
            self._threads.append(threading.Thread(target=self._work, name="download", daemon=True))
            self._threads[-1].start()

    def finish(self, action: Fetch) -> list[str]:
        """Wait until every file of an action is in its folder; what was fetched, line by line."""
        folder = Path(action.folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.begin(action)
            jobs = [self._jobs[folder / wheel.file] for wheel in action.wheels]
            self._wait_for(action.title, jobs)
        except OSError as error:
            raise NotWritable(
                f"the wheels cannot be kept: {error.strerror}",
                where=str(folder),
                hint="free some space, or name another disk: --prefix DIR; the same command goes on from here",
            ) from error
        fetched = [job for job in jobs if job.end.result()]
        lay = f"{len(jobs) - len(fetched)} lay in {folder}"
        return [lay, *(f"fetched {sessions.scrubbed(job.wheel.url)}" for job in fetched)]

    def _wait_for(self, title: str, jobs: list[_Job]) -> None:
        waiting = {job.end for job in jobs}
        while True:
            interruption.look()
            done, waiting = wait(waiting, timeout=_TOLD_EVERY_S, return_when=FIRST_EXCEPTION)
            _complain(done)
            self._tell(title, jobs, ended=not waiting)
            if not waiting:
                return

    def _tell(self, title: str, jobs: list[_Job], *, ended: bool) -> None:
        fetched = [job for job in jobs if job.came]
        came = sum(job.came for job in fetched)
        coming = [job.wheel.size for job in jobs if job.came or not job.end.done()]
        total = came if ended else sum(coming) if all(coming) else 0
        if came:
            self._events(Progress(title=title, done=came, total=max(total, came) if total else 0, unit="bytes"))
        for job in fetched if ended else ():
            job.came = 0  # who needs it once more has it without a word

    def _work(self) -> None:
        while (job := self._queue.get()) and not self._stop.is_set():
            job.end.set_running_or_notify_cancel()
            try:
                job.end.set_result(self._had(job))
            except BaseException as failure:  # noqa: BLE001 - whoever waits for it has it
                job.end.set_exception(failure)

    def _had(self, job: _Job) -> bool:
        """Whether it had to be fetched."""
        job.path.parent.mkdir(parents=True, exist_ok=True)
        if download.is_there(job.path, job.wheel.sha256):
            return False

        def came(count: int) -> None:
            if self._stop.is_set():
                raise _Stopped
            job.came += count

        download.download(job.wheel.url, job.wheel.sha256, job.path, came, self._connection)
        return True


def _complain(done: set[Future[bool]]) -> None:
    """What went wrong first; that the others were stopped for it is no news."""
    failures = [failure for each in done if (failure := each.exception()) and not isinstance(failure, _Stopped)]
    if failures:
        raise failures[0]
