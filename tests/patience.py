"""Wait for a condition or a process, always with a deadline; no process outlives its test."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

SECONDS = 60.0


def until(seen: Callable[[], object]) -> None:
    """Look again and again until there is something to see."""
    end = time.monotonic() + SECONDS
    while not seen():
        assert time.monotonic() < end, "what was waited for did not come"
        time.sleep(0.02)


@contextlib.contextmanager
def started(argv: list[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A process whose pipes are text."""
    child = subprocess.Popen(argv, text=True, **options)
    try:
        yield child
    finally:
        if child.poll() is None:
            child.kill()
        child.communicate()
