"""Concurrent jobs: late ones are abandoned, errors reach the caller, the limit is observed."""

from __future__ import annotations

import threading
import time

import pytest

from provision.doors import at_once


def test_a_late_job_has_no_result() -> None:
    release = threading.Event()
    began = time.monotonic()
    assert at_once.run_all({"late": release.wait, "quick": lambda: True}, 0.1) == {"quick": True}
    assert time.monotonic() - began < 2
    release.set()


def test_an_error_reaches_the_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        at_once.run_all({"wrong": lambda: 1 / 0})


def test_no_more_jobs_than_the_limit_run_at_the_same_time() -> None:
    running, most = threading.Semaphore(2), []

    def job() -> None:
        most.append(running.acquire(blocking=False))
        time.sleep(0.01)
        running.release()

    at_once.run_all(dict.fromkeys(range(8), job), limit=2)
    assert most == [True] * 8


def test_stopped_workers_start_nothing_more() -> None:
    workers = at_once.Workers(1, "test")
    release, started = threading.Event(), threading.Event()

    def first() -> None:
        started.set()
        release.wait(20)

    running, waiting = workers.submit(first), workers.submit(lambda: None)
    assert started.wait(20)
    workers.stop()
    release.set()
    running.result(20)
    assert not waiting.done()
