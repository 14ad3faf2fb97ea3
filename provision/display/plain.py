"""The display of a log, a pipe, and a terminal that cannot move its cursor: line by line."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from provision.display import lines
from provision.display.lines import RunEvent
from provision.display.rate import Paces
from provision.events import CheckStarted, CommandStarted, Progress, StepDone

_EVERY_S: Final = 30.0


class Plain:
    """A listener that also reports what begins, so that a log shows what runs now.

    The output of commands is in their own logs.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        width: int | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write, self._width, self._clock = write, width, clock
        self._lock = threading.Lock()  # downloads report from their own threads
        self._paces = Paces()
        self._last_line: dict[str, float] = {}

    def __call__(self, event: RunEvent) -> None:
        if isinstance(event, Progress):
            with self._lock:
                self._progress(event)
            return
        if isinstance(event, CommandStarted):
            self._note(f"{event.title} ...")
        elif isinstance(event, CheckStarted):
            self._note(f"{event.name} ...")
        elif isinstance(event, StepDone):
            self._paces.clear()
        if text := lines.permanent(event, self._width):
            self._write(text)

    def _progress(self, event: Progress) -> None:
        now = self._clock()
        if (pace := self._paces.add(event, now)) is None:
            return
        if pace.ended:
            self._note(f"{event.title}: {pace.summary(now)}")
        # The first event of a bar shows that it has started.
        elif pace.began == now or now - self._last_line[event.title] >= _EVERY_S:
            self._last_line[event.title] = now
            self._note(f"{event.title}: {pace.figures(now)}")

    def _note(self, text: str) -> None:
        self._write(lines.note(text, self._width))
