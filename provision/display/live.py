"""What the engine says, on a terminal: lines that stay, and below them what runs now, for how long and how far."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Final

from rich.console import Console, Group
from rich.live import Live as RichLive
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from provision.display import lines, terminal
from provision.display.lines import Heard
from provision.display.rate import Pace, Paces, duration
from provision.engine.events import CommandStarted, Line, Progress, StepDone, StepStarted
from provision.engine.launch_checks import CheckDone, CheckStarted

_REFRESH_S: Final = 0.2
_SPARE: Final = 4  # columns: the terminal puts ^C behind the last line, which must not break for it
_NARROW: Final = 60
_BARS: Final = 4


@contextlib.contextmanager
def display() -> Iterator[Live]:
    """A display that is gone and has given the cursor back before anybody says how it ended."""
    live = Live()
    try:
        live.start()
        yield live
    finally:
        live.stop()


class Live:
    """Rich's live display, drawn under a lock of ours: rich's own thread may draw while a line that stays is written.

    A terminal that has gone away (OSError) ends no installation.
    """

    def __init__(self) -> None:
        # asked of the terminal alone: were a line wider than it, rich would go up too few lines
        told = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        self._console = Console(file=sys.stderr, highlight=False, markup=False, emoji=False, _environ=told)
        self._turn = threading.RLock()
        self._ended = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)
        self._paces = Paces()
        self._label = self._doing = self._line = ""
        self._began = 0.0
        self._live = RichLive(
            console=self._console,
            get_renderable=self._now,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def start(self) -> None:
        self._live.start()
        self._ticker.start()

    def stop(self) -> None:
        """The terminal is as it was before, but for the lines that stay."""
        self._ended.set()
        try:
            with self._turn, contextlib.suppress(OSError):
                self._live.stop()
        finally:  # also where a second Ctrl-C comes just now
            with contextlib.suppress(OSError):
                self._console.show_cursor(True)

    def __call__(self, event: Heard) -> None:
        match event:
            case StepStarted(number=number, name=name, title=title):
                self._begins(f"  {number:>2} {name}", title)
            case CheckStarted(name=name, title=title):
                self._begins(f"     {name}", title)
            case CommandStarted(title=title):
                self._doing, self._line = title, ""
            case Line(text=text):
                self._line = text if text.strip() else self._line
            case Progress():
                self._progress(event)
            case StepDone() | CheckDone():
                self._begins("", "")
        if text := lines.staying(event, self._console.width):
            self._say(text)

    def _begins(self, label: str, doing: str) -> None:
        self._label, self._doing, self._line, self._began = label, doing, "", time.monotonic()
        self._paces.clear()

    def _progress(self, event: Progress) -> None:
        now = time.monotonic()
        with self._turn:
            pace = self._paces.add(event, now)
        if pace and pace.ended:
            self._say(lines.note(f"{event.title}: {pace.summary(now)}", self._console.width))

    def _say(self, text: str) -> None:
        with self._turn, contextlib.suppress(OSError), self._console:  # both at once
            self._console.print(Text(terminal.legible(text, sys.stderr)), soft_wrap=True)
            self._live.refresh()

    def _tick(self) -> None:
        while not self._ended.wait(_REFRESH_S):
            with self._turn, contextlib.suppress(OSError):
                if not self._ended.is_set():
                    self._live.refresh()

    def _now(self) -> Group:
        """What runs now; asked for whenever something is drawn, and then only under the lock."""
        width, now = self._console.width - _SPARE, time.monotonic()
        rows: list[Text | Table] = []
        if self._label:
            label = self._label if width < _NARROW else f"{self._label:<31}"
            rows.append(_cut(f"{label} {duration(now - self._began)}  {self._doing}", width))
        if self._line:
            rows.append(_cut(f"     {self._line}", width, "dim"))
        for pace in self._paces.running()[-_BARS:]:
            rows += [_cut(f"     {pace.last.title}", width), _bar(pace, now, width)]
        return Group(*rows)


def _cut(text: str, width: int, style: str = "") -> Text:
    row = Text(terminal.legible(lines.plain(text), sys.stderr), style=style, no_wrap=True)
    row.truncate(width)
    return row


def _bar(pace: Pace, now: float, width: int) -> Text | Table:
    """Figures alone where the total is not known, or where no room is left for a bar."""
    figures = pace.figures(now, width - 5)
    room = min(width - 5 - len(figures) - 2, 60)
    if pace.last.total <= 0 or room < 10:
        return _cut(f"     {figures}", width)
    row = Table.grid()
    row.add_row(" " * 5, ProgressBar(total=pace.last.total, completed=pace.last.done, width=room), f"  {figures}")
    return row
