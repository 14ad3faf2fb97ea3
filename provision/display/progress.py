"""The listener of a run: a terminal, a log or a program, and the record for its report."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator

from provision.display import terminal
from provision.display.lines import RunEvent
from provision.events import (
    CommandStarted,
    Note,
    StepDone,
    StepResult,
    StepStarted,
    ignore,
)

Listener = Callable[[RunEvent], None]


class EventRecorder:
    """A listener that passes events on and records the commands, notes and results of steps."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.commands: dict[str, list[str]] = {}
        self.notes: dict[str, list[str]] = {}
        self.results: list[StepResult] = []
        self._step = ""

    def __call__(self, event: RunEvent) -> None:
        if isinstance(event, StepStarted):
            self._step = f"{event.number}-{event.name}"
        elif isinstance(event, CommandStarted):
            self.commands.setdefault(self._step, []).append(event.command)
        elif isinstance(event, StepDone):
            self.results.append(event.result)
        elif isinstance(event, Note):
            self.notes.setdefault(self._step, []).append(event.text)
        self._listener(event)

    def add(self, other: EventRecorder) -> None:
        self.results += other.results
        for own, added in ((self.commands, other.commands), (self.notes, other.notes)):
            for step, texts in added.items():
                own.setdefault(step, []).extend(texts)


@contextlib.contextmanager
def listening(options: argparse.Namespace) -> Iterator[EventRecorder]:
    with _listener(options) as listener:
        yield EventRecorder(listener)


def notes(options: argparse.Namespace) -> Callable[[str], None]:
    """Return a function that shows a note before the engine starts."""
    if options.stream:
        return lambda text: options.stream(Note(text=text))
    return terminal.ignore if options.quiet or options.json else terminal.note


def _listener(options: argparse.Namespace) -> contextlib.AbstractContextManager[Listener]:
    if options.stream:
        return contextlib.nullcontext(options.stream)
    if options.quiet or options.json:
        return contextlib.nullcontext(ignore)
    if terminal.can_redraw():
        from provision.display.live import display  # rich is loaded for a terminal only

        return display()
    from provision.display.plain import Plain

    # A log has no width: its lines stay whole, so that they can be searched.
    return contextlib.nullcontext(
        Plain(terminal.note, terminal.columns(sys.stderr) if sys.stderr.isatty() else None)
    )
