"""What the engine says, line by line: for a log, a pipe, and a terminal that cannot move its cursor."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from provision.display import lines
from provision.display.lines import Heard
from provision.display.rate import Paces
from provision.engine.events import CommandStarted, Progress, StepDone
from provision.engine.launch_checks import CheckStarted

_EVERY_S: Final = 30.0


class Plain:
    """Says also what begins, so that a log shows what runs now; the output of commands is in their own logs."""

    def __init__(
        self, say: Callable[[str], None], width: int | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._say, self._width, self._clock = say, width, clock
        self._turn = threading.Lock()  # downloads may report from threads of their own
        self._paces = Paces()
        self._said: dict[str, float] = {}

    def __call__(self, event: Heard) -> None:
        if isinstance(event, Progress):
            with self._turn:
                self._progress(event)
            return
        if isinstance(event, CommandStarted):
            self._note(f"{event.title} ...")
        elif isinstance(event, CheckStarted):
            self._note(f"{event.name} ...")
        elif isinstance(event, StepDone):
            self._paces.clear()
        if text := lines.staying(event, self._width):
            self._say(text)

    def _progress(self, event: Progress) -> None:
        """The first, one now and then, and the last."""
        now = self._clock()
        if (pace := self._paces.add(event, now)) is None:
            return
        if pace.ended:
            self._note(f"{event.title}: {pace.summary(now)}")
        elif pace.began == now or now - self._said[event.title] >= _EVERY_S:
            self._said[event.title] = now
            self._note(f"{event.title}: {pace.figures(now)}")

    def _note(self, text: str) -> None:
        self._say(lines.note(text, self._width))
