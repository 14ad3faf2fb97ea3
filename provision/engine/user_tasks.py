"""The user's tasks in an environment that is current: each is carried out once, killed ones again, as steps are."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from provision.doors import interruption, process
from provision.engine import bring_up, promised_checks, verified
from provision.engine.actions import Carrier, clean
from provision.engine.bring_up import Asked
from provision.engine.check_results import Tried
from provision.engine.conclude import Conclusion, conclude
from provision.engine.environments import STATE
from provision.engine.events import StepDone, StepResult, StepStarted, Subscriber
from provision.engine.fetch import Fetching
from provision.engine.journal import Journal
from provision.engine.promised_checks import Checks
from provision.errors import DONE, NotWritable, StepFailed
from provision.steps.model import Run, Step
from provision.tasks import Task

_MEND: Final = "mend that; the same command goes on from here"
# The words are ours; what a user's file says is never part of them.
_ACTIVATED: Final = '. "$1" && env -0'


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it: how each task ended, the checks that were tried after them, and what kept one from its end."""

    results: tuple[StepResult, ...] = ()
    tried: Tried = Tried()
    concluded: Conclusion | None = None  # of the checks of a task that are against it
    failure: StepFailed | None = None


def journal(generation: Path) -> Journal:
    """A prefix may be shared: what was done on one host was not done on the others."""
    return Journal(generation / STATE / "tasks" / verified.host_id())


def fingerprints(tasks: Iterable[Task]) -> dict[str, str]:
    """By label; another definition of what a task comes after makes it another task, too. Words make no difference."""
    found: dict[str, str] = {}
    for task in tasks:
        before = [found.get(name, "") for name in task.after]
        said = msgspec.json.encode([task.commands, task.checks, task.environment, before], order="sorted")
        found[task.label] = hashlib.sha256(said).hexdigest()
    return found


def pending(generation: Path, tasks: Sequence[Task]) -> list[Task]:
    """Those that are not done in this environment, on this host, as they are defined now."""
    done = journal(generation).done()
    links = fingerprints(tasks)
    return [task for task in tasks if done.get(task.label) != links[task.label]]


def kept(task: Task) -> StepResult:
    return StepResult(number=task.number, name=task.name, outcome="kept")


def actions(task: Task) -> tuple[Run, ...]:
    return tuple(Run(title=argv[0], argv=argv, env=task.environment, deadline_s=task.timeout) for argv in task.commands)


class Tasks:
    """Carries them out in one environment; the caller holds the prefix's lock, as for steps."""

    def __init__(self, asked: Asked, generation: Path, at: Path, events: Subscriber, checks: Checks) -> None:
        self._asked, self._generation, self._at = asked, generation, at
        self._events, self._checks = events, checks
        self._journal = journal(generation)

    def carry_out(self, tasks: Sequence[Task], again: Iterable[str] = ()) -> Ran:
        """In this order, until one fails; what is done stays done, but for those that are to be done `again`."""
        links, left = fingerprints(tasks), {task.label for task in pending(self._generation, tasks)} | set(again)
        ran = Ran()
        given = self._environment() if left else {}
        for task in tasks:
            if task.label not in left:
                self._events(StepDone(result=kept(task)))
                ran = msgspec.structs.replace(ran, results=(*ran.results, kept(task)))
                continue
            ran = self._one(task, links[task.label], given, ran)
            if ran.failure or ran.concluded:
                break
        return ran

    def _one(self, task: Task, link: str, given: dict[str, str], before: Ran) -> Ran:
        interruption.look()
        began = time.monotonic()
        self._events(StepStarted(number=task.number, name=task.name, title=task.title))
        failure, against, tried = None, None, Tried()
        try:
            self._journal.note("started", task.label, link, self._run)
            commands = self._commands(task, given)
            interruption.look()
            tried, against = self._proved(task)
            self._journal.note("failed" if against else "done", task.label, link, self._run, commands)
        except (StepFailed, OSError) as stopped:
            failure = stopped if isinstance(stopped, StepFailed) else _not_written(stopped, task)
            with contextlib.suppress(OSError):  # on a full disk, that it was started is enough
                self._journal.note("failed", task.label, link, self._run)
        problem = failure.what if failure else "; ".join(against.against) if against else ""
        result = StepResult(
            number=task.number,
            name=task.name,
            outcome="failed" if problem else "done",
            seconds=time.monotonic() - began,
            fingerprint=link,
            problem=problem,
        )
        self._events(StepDone(result=result))
        return Ran(
            results=(*before.results, result), tried=joined(before.tried, tried), concluded=against, failure=failure
        )

    @property
    def _run(self) -> str:
        return Path(self._asked.logs).name

    def _commands(self, task: Task, given: dict[str, str]) -> tuple[str, ...]:
        step = Step(
            number=task.number, name=task.name, title=task.title, why=task.why, actions=lambda *_: actions(task)
        )
        try:
            with Fetching(given, self._events) as fetching:
                carrier = Carrier(
                    site=bring_up.site(self._asked, str(self._generation)),
                    folder=Path(self._asked.logs),
                    events=self._events,
                    environment=given,
                    fetching=fetching,
                    keep_open=(),  # a service that is started must not hold the prefix's lock
                    at=self._at,
                )
                return carrier.carry_out(step, actions(task))
        except NotWritable as failure:
            raise StepFailed(f"{failure.where} {failure.what}", where=f"task {task.label}", hint=_MEND) from failure
        except StepFailed as failure:
            raise StepFailed(failure.what, where=f"task {task.label}", hint=failure.hint) from failure

    def _proved(self, task: Task) -> tuple[Tried, Conclusion | None]:
        """What was promised of the environment and does not hold any more is not verified any more."""
        if not task.checks:
            return Tried(), None
        plan, used = self._asked.plan, self._asked.plan.gpus.used
        logs = Path(self._asked.logs) / task.label
        facts = promised_checks.facts_for(task.checks, self._asked.places)
        place = str(self._generation)
        tried = promised_checks.ours(plan, self._asked.lock, place, task.checks, logs, self._checks, used, facts)
        concluded = conclude(tried, task.checks, used)
        if concluded.exit_code == DONE:
            return tried, None
        if set(task.checks) & set(plan.checks):
            verified.withdraw(self._generation)
        return tried, concluded

    def _environment(self) -> dict[str, str]:
        """As in a shell that has activated it."""
        activate = f"{self._generation}/bin/activate"
        argv = ("/bin/sh", "-c", _ACTIVATED, "sh", activate)
        told = process.run(argv, deadline_s=60.0, env=clean(os.environ))
        if not told.ok:
            raise StepFailed(f"the environment cannot be activated: {told.problem()}", where=activate)
        return dict(line.split("=", 1) for line in told.stdout.split("\0") if "=" in line)


def _not_written(error: OSError, task: Task) -> StepFailed:
    what = f"{error.filename or 'its journal'} cannot be written: {error.strerror or error}"
    return StepFailed(what, where=f"task {task.label}", hint=_MEND)


def joined(before: Tried, now: Tried) -> Tried:
    """What was tried again counts as it is now."""
    again = {check.name for check in now.checks}
    return Tried(
        checks=(*(one for one in before.checks if one.name not in again), *now.checks),
        figures=(*(one for one in before.figures if one.check not in again), *now.figures),
    )
