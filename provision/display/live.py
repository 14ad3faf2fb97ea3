"""The display of a terminal: permanent lines, and below them the running step with its progress."""

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
from provision.display.lines import RunEvent
from provision.display.rate import Pace, Paces, duration
from provision.events import (
    CheckDone,
    CheckStarted,
    CommandStarted,
    Line,
    Progress,
    StepDone,
    StepStarted,
)

_REFRESH_S: Final = 0.2
_SPARE: Final = 4  # columns for the ^C that the terminal echoes behind the last line
_NARROW: Final = 60
_BARS: Final = 4


@contextlib.contextmanager
def display() -> Iterator[Live]:
    live = Live()
    try:
        live.start()
        yield live
    finally:
        # Whatever happened, the terminal gets its cursor back.
        live.stop()


class Live:
    """Rich's live display with a lock and a refresh thread of its own.

    Rich's own refresh thread may draw in the middle of a permanent line. A terminal that was closed
    (OSError) must not end an installation.
    """

    def __init__(self) -> None:
        # The width must be that of the terminal, not COLUMNS: if a line is wider than the terminal,
        # rich moves up too few lines and leaves remains behind.
        self._console = Console(
            file=sys.stderr,
            highlight=False,
            markup=False,
            emoji=False,
            _environ={k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")},
        )
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)
        self._paces = Paces()
        self._label = self._doing = self._output = ""
        self._began = 0.0
        self._live = RichLive(
            console=self._console,
            get_renderable=self._render,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def start(self) -> None:
        self._live.start()
        self._ticker.start()

    def stop(self) -> None:
        self._ended.set()
        try:
            with self._lock, contextlib.suppress(OSError):
                self._live.stop()
        finally:  # also if a second Ctrl-C arrives during the clean-up
            with contextlib.suppress(OSError):
                self._console.show_cursor(True)

    def __call__(self, event: RunEvent) -> None:
        match event:
            case StepStarted(number=number, name=name, title=title):
                self._begin(f"  {number:>2} {name}", title)
            case CheckStarted(name=name, title=title):
                self._begin(f"     {name}", title)
            case CommandStarted(title=title):
                self._doing, self._output = title, ""
            case Line(text=text):
                self._output = text if text.strip() else self._output
            case Progress():
                self._progress(event)
            case StepDone() | CheckDone():
                self._begin("", "")
        if text := lines.permanent(event, self._console.width):
            self._print(text)

    def _begin(self, label: str, doing: str) -> None:
        self._label, self._doing, self._output, self._began = label, doing, "", time.monotonic()
        self._paces.clear()

    def _progress(self, event: Progress) -> None:
        now = time.monotonic()
        with self._lock:
            pace = self._paces.add(event, now)
        if pace and pace.ended:
            self._print(lines.note(f"{event.title}: {pace.summary(now)}", self._console.width))

    def _print(self, text: str) -> None:
        with self._lock, contextlib.suppress(OSError), self._console:  # one write for both
            self._console.print(
                Text(terminal.legible(terminal.harmless(text), sys.stderr)), soft_wrap=True
            )
            self._live.refresh()

    def _tick(self) -> None:
        while not self._ended.wait(_REFRESH_S):
            with self._lock, contextlib.suppress(OSError):
                if not self._ended.is_set():
                    self._live.refresh()

    def _render(self) -> Group:
        """Return the live part; rich calls this under the lock whenever it draws."""
        width, now = self._console.width - _SPARE, time.monotonic()
        rows: list[Text | Table] = []
        if self._label:
            label = self._label if width < _NARROW else f"{self._label:<31}"
            rows.append(_cut(f"{label} {duration(now - self._began)}  {self._doing}", width))
        if self._output:
            rows.append(_cut(f"     {self._output}", width, "dim"))
        for pace in self._paces.running()[-_BARS:]:
            rows += [_cut(f"     {pace.last.title}", width), _bar(pace, now, width)]
        return Group(*rows)


def _cut(text: str, width: int, style: str = "") -> Text:
    row = Text(terminal.legible(lines.plain(text), sys.stderr), style=style, no_wrap=True)
    row.truncate(width)
    return row


def _bar(pace: Pace, now: float, width: int) -> Text | Table:
    figures = pace.figures(now, width - 5)
    room = min(width - 5 - len(figures) - 2, 60)
    if pace.last.total <= 0 or room < 10:
        return _cut(f"     {figures}", width)
    row = Table.grid()
    row.add_row(
        " " * 5,
        ProgressBar(total=pace.last.total, completed=pace.last.done, width=room),
        f"  {figures}",
    )
    return row
