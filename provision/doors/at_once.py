"""Threads that nothing waits for forever: jobs that run at the same time, until a deadline."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, TypeVar

from provision.errors import StepFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

K = TypeVar("K", bound="Hashable")
T = TypeVar("T")


class Workers:
    """A pool of daemon threads.

    A ThreadPoolExecutor would join its threads when Python exits, so one hung name lookup or dead
    mount would keep the program from ending. A daemon thread that hangs is left behind.
    """

    def __init__(self, limit: int, name: str) -> None:
        self._limit, self._name = limit, name
        self._queue: queue.SimpleQueue[tuple[Future[object], Callable[[], object]] | None] = (
            queue.SimpleQueue()
        )
        self._threads = 0
        self._stopped = threading.Event()

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Run the work in the next free thread."""
        future: Future[T] = Future()
        self._queue.put((future, work))  # type: ignore[arg-type] # mixed types
        if self._threads < self._limit:
            self._start()
        return future

    def _start(self) -> None:
        thread = threading.Thread(target=self._work, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # with other threads the work is only slower
            if not self._threads:
                raise StepFailed(
                    f"{error}: a limit of this shell forbids it",
                    hint="raise `ulimit -u` (processes) or `ulimit -v` (address space)",
                ) from None
        else:
            self._threads += 1

    def stop(self) -> None:
        """Start nothing more and let idle threads end."""
        self._stopped.set()
        for _ in range(self._threads):
            self._queue.put(None)

    def _work(self) -> None:
        while (job := self._queue.get()) and not self._stopped.is_set():
            future, work = job
            future.set_running_or_notify_cancel()
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - the future hands it to its caller
                future.set_exception(error)


def run_all(
    jobs: Mapping[K, Callable[[], T]], deadline_s: float | None = None, *, limit: int = 1000
) -> dict[K, T]:
    """Run all jobs at the same time and return the results of those that ended before the deadline.

    An exception of a job is raised here. Jobs that are late have no entry and are left behind.
    """
    workers = Workers(limit, "at once")
    futures = {key: workers.submit(job) for key, job in jobs.items()}
    wait(futures.values(), timeout=deadline_s)
    workers.stop()
    return {key: future.result() for key, future in futures.items() if future.done()}


def within(deadline_s: float, work: Callable[[], T]) -> T:
    """Return the result of the work; raise TimeoutError if the deadline passes.

    The timeouts of requests do not cover name lookups, nor a server that trickles.
    """
    results = run_all({"": work}, deadline_s)
    if not results:
        raise TimeoutError
    return results[""]
