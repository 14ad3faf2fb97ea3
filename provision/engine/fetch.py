"""Downloads of wheels into the store: several at once, resumable, checked against the lock."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final

import msgspec

from provision.doors import addresses, at_once, interruption
from provision.engine import uv
from provision.errors import NotWritable
from provision.events import Progress, Subscriber
from provision.steps.model import Fetch, Lock, Wheel

_AT_ONCE: Final = 8
_PROGRESS_EVERY_S: Final = 0.2
_GRACE_S: Final = 1.0  # for running downloads to notice that they are to stop


def fetch(action: Fetch, environment: Mapping[str, str], events: Subscriber) -> list[str]:
    """Fetch every file of one action into its folder; return what was fetched, line by line."""
    with Fetching(environment, events) as fetching:
        return fetching.finish(action)


def with_sizes(lock: Lock, environment: Mapping[str, str]) -> Lock:
    """Return the lock with sizes that the index left out, as far as the file servers tell them."""
    from provision.doors import download  # it loads the HTTP library

    connection = uv.connection(environment)
    # These requests only wait for the network, so more of them run at once than downloads.
    sizes = at_once.run_all(
        {
            pin: partial(download.size, pin.wheel.url, connection)
            for pin in lock.pins
            if not pin.wheel.size
        },
        limit=2 * _AT_ONCE,
    )
    return Lock(
        pins=tuple(
            msgspec.structs.replace(
                pin, wheel=msgspec.structs.replace(pin.wheel, size=sizes.get(pin, pin.wheel.size))
            )
            for pin in lock.pins
        )
    )


class _Stopped(Exception):  # noqa: N818 - not an error: another download failed, or the user stops
    """The request to stop a download."""


class _Job:
    """The download of one wheel: its bytes so far, and at the end whether it was fetched."""

    end: Future[bool]

    def __init__(self, wheel: Wheel, folder: Path, stop: threading.Event) -> None:
        self.wheel, self.path = wheel, folder / wheel.file
        self.received = 0
        self._stop = stop

    def run(self, connection: addresses.Connection) -> bool:
        """Fetch the wheel unless the store has it; return whether it was fetched."""
        from provision.doors import download

        self.path.parent.mkdir(parents=True, exist_ok=True)
        wheel = self.wheel
        if download.is_complete(self.path, wheel.sha256):
            return False
        download.download(wheel.url, wheel.sha256, self.path, self._count, connection, wheel.size)
        return True

    def _count(self, count: int) -> None:
        if self._stop.is_set():
            raise _Stopped
        self.received += count


class Fetching(contextlib.AbstractContextManager["Fetching"]):
    """Downloads in the background: each step waits only for the wheels that it needs."""

    def __init__(self, environment: Mapping[str, str], events: Subscriber) -> None:
        self._connection, self._events = uv.connection(environment), events
        self._jobs: dict[Path, _Job] = {}
        self._workers = at_once.Workers(_AT_ONCE, "download")
        self._stop = threading.Event()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._workers.stop()
        wait([job.end for job in self._jobs.values() if job.end.running()], timeout=_GRACE_S)

    def begin(self, action: Fetch) -> None:
        """Queue the wheels of an action behind those that are queued already.

        The largest wheel comes first, so that no large one is left alone at the end.
        """
        for wheel in sorted(action.wheels, key=lambda wheel: -wheel.size):
            path = Path(action.folder) / wheel.file
            if path not in self._jobs or self._jobs[path].wheel.sha256 != wheel.sha256:
                job = _Job(wheel, path.parent, self._stop)
                job.end = self._workers.submit(partial(job.run, self._connection))
                # Last, because an interruption may come in between and __exit__ needs `end`.
                self._jobs[path] = job

    def finish(self, action: Fetch) -> list[str]:
        """Wait until every file of an action is in its folder; return what was fetched."""
        folder = Path(action.folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.begin(action)
            jobs = [self._jobs[folder / wheel.file] for wheel in action.wheels]
            self._wait_for(action.title, jobs)
        except OSError as error:
            raise NotWritable(
                f"the wheels cannot be stored: {error.strerror}",
                where=str(folder),
                hint="free some space, or use another disk (--prefix DIR);"
                " then retry with the same command",
            ) from error
        fetched = [job for job in jobs if job.end.result()]
        return [
            f"{len(jobs) - len(fetched)} already in {folder}",
            *(f"fetched {addresses.scrubbed(job.wheel.url)}" for job in fetched),
        ]

    def _wait_for(self, title: str, jobs: list[_Job]) -> None:
        waiting = {job.end for job in jobs}
        while True:
            interruption.raise_pending()
            done, waiting = wait(waiting, timeout=_PROGRESS_EVERY_S, return_when=FIRST_EXCEPTION)
            _raise_first(done)
            self._report(title, jobs, ended=not waiting)
            if not waiting:
                return

    def _report(self, title: str, jobs: list[_Job], *, ended: bool) -> None:
        fetched = [job for job in jobs if job.received]
        received = sum(job.received for job in fetched)
        sizes = [job.wheel.size for job in jobs if job.received or not job.end.done()]
        total = received if ended else sum(sizes) if all(sizes) else 0
        if received:
            # More may arrive than the index announced; a bar must not run past its end.
            total = max(total, received) if total else 0
            self._events(Progress(title=title, done=received, total=total, unit="bytes"))
        for job in fetched if ended else ():
            job.received = 0  # a later action with the same wheel reports no download


def _raise_first(done: set[Future[bool]]) -> None:
    """Raise the first failure; downloads that were stopped because of it do not count."""
    for future in done:
        failure = future.exception()
        if failure and not isinstance(failure, _Stopped):
            raise failure
