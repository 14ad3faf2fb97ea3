"""What the engine says, for a person on stderr: a line when a step or check ends, notes as they come."""

from __future__ import annotations

from provision import terminal
from provision.engine.events import CommandStarted, Event, Note, StepDone, StepResult, StepStarted
from provision.engine.launch_checks import CheckDone, CheckStarted


class Lines:
    """A subscriber to events and checks; remembers the commands of each step for its result page."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self.commands: dict[str, list[str]] = {}
        self.results: list[StepResult] = []
        self._step = ""

    def event(self, event: Event) -> None:
        if isinstance(event, StepStarted):
            self._step = f"{event.number}-{event.name}"
        elif isinstance(event, CommandStarted):
            self.commands.setdefault(self._step, []).append(event.command)
        elif isinstance(event, StepDone):
            self._ended(event.result)
        elif isinstance(event, Note):
            self._say(f"     {event.text}")

    def _ended(self, done: StepResult) -> None:
        self.results.append(done)
        if done.outcome != "kept":
            self._say(f"  {done.number:>2} {done.name:<26}{done.outcome} {done.seconds:>7.1f} s")

    def check(self, event: CheckStarted | CheckDone) -> None:
        if isinstance(event, CheckDone):
            result = event.result
            self._say(f"     {result.name:<26}{result.outcome} {result.seconds:>7.1f} s  {result.summary}")

    def _say(self, text: str) -> None:
        if not self.quiet:
            terminal.note(text)
