"""Carries out one action: runs a command with its log, writes a file, or sees whether a need is met."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from provision.doors import files, process
from provision.engine import fetch, needs
from provision.engine.events import CommandStarted, Line, Note, Progress, Subscriber
from provision.engine.logs import StepLog
from provision.errors import NotWritable, SourceFailed, StepFailed
from provision.host._scrub import hide_secrets
from provision.steps.model import Action, Fetch, Need, Run, Site, Step, Write

_FAR = re.compile(r"\[(\d+)/(\d+)\] ")  # how ninja says it, and whoever compiles here
_RESUME = "the same command goes on from here"
# What would reach into a command from the outside and change what it does.
_FOREIGN = ("LD_", "PYTHON", "PIP_", "VIRTUAL_ENV", "CONDA_", "BASH_ENV")


class Carrier(msgspec.Struct, frozen=True, kw_only=True):
    """What all actions of one build have in common."""

    site: Site
    folder: Path
    events: Subscriber
    environment: Mapping[str, str]
    fetching: fetch.Fetching
    keep_open: tuple[int, ...]
    at: Path | None = None  # where commands work; None: where we do

    def carry_out(self, step: Step, actions: Iterable[Action], ahead: Fetch | None = None) -> tuple[str, ...]:
        """All actions of a step, in order; StepFailed where one of them does not end well. The commands that ran.

        `ahead`: what the next step needs comes while commands run; before, it would only share the line.
        """
        ran: list[str] = []
        with contextlib.closing(StepLog(self.folder / f"{step.label}.log")) as log:
            for action in actions:
                if isinstance(action, Run):
                    if ahead:
                        self.fetching.begin(ahead)
                    ran.append(self._run(step, action, log))
                elif isinstance(action, Fetch):
                    self._fetch(step, action, log)
                elif isinstance(action, Write):
                    files.write(Path(action.path), action.text, action.mode)
                else:
                    self._see(step, action, log)
            if log.full:
                self.events(Note(text=f"{log.path} is not whole: no space was left"))
        return tuple(ran)

    def _fetch(self, step: Step, action: Fetch, log: StepLog) -> None:
        log.line(f"# {action.title}")
        try:
            for said in self.fetching.finish(action):
                log.line(said)
        except (SourceFailed, NotWritable) as failure:
            what = log.line(f"{action.title}: {failure.what}: {failure.where}")
            raise StepFailed(what, where=f"step {step.label}", hint=failure.hint) from None

    def _see(self, step: Step, need: Need, log: StepLog) -> None:
        found = needs.measure(need)
        said = log.line(f"{need.title}: {found.said}")
        if not found.met:
            hint = needs.way_out(need, Path(self.site.generation))
            raise StepFailed(said, where=f"step {step.label}", hint=hint or _RESUME)

    def _run(self, step: Step, action: Run, log: StepLog) -> str:
        environment = {**self.environment, **action.env}
        finished = process.Finished(argv=action.argv)
        command = hide_secrets(finished.command)
        log.command(action.title, command, environment)
        self.events(CommandStarted(title=action.title, command=command, log=str(log.path)))
        finished = process.run(
            action.argv,
            deadline_s=action.deadline_s,
            env=environment,
            cwd=self.at,
            on_line=lambda text: self._hear(log.line(text), action.title),
            ends_with_us=True,
            keep_open=self.keep_open,
        )
        if not finished.ok:
            last = "\n".join(f"    {line}" for line in log.last) or f"    {finished.stderr}".rstrip()
            raise StepFailed(
                f"{action.title}: {how(finished)}\n  {command}\n{last}\n  log: {log.path}",
                where=f"step {step.label}",
                hint=f"free some space there; {_RESUME}" if "No space left" in last else _RESUME,
            )
        return command

    def _hear(self, text: str, title: str) -> None:
        self.events(Line(text=text))
        if far := _FAR.match(text):
            self.events(Progress(title=title, done=int(far[1]), total=int(far[2]), unit="files"))


def how(finished: process.Finished) -> str:
    """How a command came to its end, in a few words."""
    if finished.missing:
        return f"{finished.argv[0]} was not found"
    if finished.timed_out:
        return f"did not end within {finished.seconds:.0f} s"
    if finished.signal:
        return f"was ended by {finished.signal}"
    return f"ended with status {finished.status}" if finished.status is not None else "could not be started"


def clean(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith(_FOREIGN)}
