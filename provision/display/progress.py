"""Who hears what the engine says: a terminal, a log or a program each in its own way, and the report of the run."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator

from provision.display import terminal
from provision.display.lines import Heard
from provision.engine.events import CommandStarted, Note, StepDone, StepResult, StepStarted, nobody

Tell = Callable[[Heard], None]


class Followed:
    """Hands events on, and remembers the commands of each step, what was noted on the way, and how it ended."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self.commands: dict[str, list[str]] = {}
        self.notes: dict[str, list[str]] = {}
        self.results: list[StepResult] = []
        self._step = ""

    def __call__(self, event: Heard) -> None:
        if isinstance(event, StepStarted):
            self._step = f"{event.number}-{event.name}"
        elif isinstance(event, CommandStarted):
            self.commands.setdefault(self._step, []).append(event.command)
        elif isinstance(event, StepDone):
            self.results.append(event.result)
        elif isinstance(event, Note):
            self.notes.setdefault(self._step, []).append(event.text)
        self._tell(event)

    def add(self, other: Followed) -> None:
        """What was heard by another one, later."""
        self.results += other.results
        for mine, others in ((self.commands, other.commands), (self.notes, other.notes)):
            for step, said in others.items():
                mine.setdefault(step, []).extend(said)


@contextlib.contextmanager
def followed(options: argparse.Namespace) -> Iterator[Followed]:
    """While inside, the engine is heard."""
    with _listener(options) as tell:
        yield Followed(tell)


def notes(options: argparse.Namespace) -> Callable[[str], None]:
    """How to say what is done before the engine is at work."""
    if options.stream:
        return lambda text: options.stream(Note(text=text))
    return terminal.unheard if options.quiet or options.json else terminal.note


def _listener(options: argparse.Namespace) -> contextlib.AbstractContextManager[Tell]:
    if options.stream:
        return contextlib.nullcontext(options.stream)
    if options.quiet or options.json:
        return contextlib.nullcontext(nobody)
    if terminal.can_redraw():
        from provision.display.live import display  # rich is loaded for a terminal only

        return display()
    from provision.display.plain import Plain

    width = terminal.columns(sys.stderr) if sys.stderr.isatty() else None
    return contextlib.nullcontext(Plain(terminal.note, width))
