"""The user's tasks in the current environment: each is carried out once, as a step is."""

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
from provision.engine import promised_checks, verified
from provision.engine.actions import Carrier, clean
from provision.engine.bring_up import Workplace
from provision.engine.conclude import Conclusion, conclude
from provision.engine.environments import STATE
from provision.engine.fetch import Fetching
from provision.engine.journal import Journal
from provision.engine.promised_checks import CheckSubscriber
from provision.engine.resolution_cache import Resolution
from provision.errors import DONE, NotWritable, StepFailed
from provision.events import StepDone, StepResult, StepStarted
from provision.results import CheckResults, TaskOutcome
from provision.steps.model import Run, Step
from provision.tasks import Task

_REPAIR: Final = "repair that; the same command resumes"
# This text is ours; no word of a user's file is ever part of it.
_ACTIVATED: Final = '. "$1" && env -0'


class TasksResult(msgspec.Struct, frozen=True, kw_only=True):
    """The end of each task as a step and with its checks, and what ended the series early.

    `concluded` holds the conclusion of checks that speak against a task.
    """

    results: tuple[StepResult, ...] = ()
    tasks: tuple[TaskOutcome, ...] = ()
    concluded: Conclusion | None = None
    failure: StepFailed | None = None


def journal(generation: Path) -> Journal:
    """Return this host's journal of tasks: a prefix may be shared, and tasks act on the host."""
    return Journal(generation / STATE / "tasks" / verified.host_id())


def fingerprints(tasks: Iterable[Task]) -> dict[str, str]:
    """Return a fingerprint for each label: it changes with a task and with those it comes after.

    Titles and reasons are no part of it.
    """
    links: dict[str, str] = {}
    for task in tasks:
        before = [links.get(name, "") for name in task.after]
        document = msgspec.json.encode(
            [task.commands, task.checks, task.environment, before], order="sorted"
        )
        links[task.label] = hashlib.sha256(document).hexdigest()
    return links


def pending(generation: Path, tasks: Sequence[Task]) -> list[Task]:
    """Return the tasks that are not done here, on this host, as they are defined now."""
    done = journal(generation).done_fingerprints()
    links = fingerprints(tasks)
    return [task for task in tasks if done.get(task.label) != links[task.label]]


def kept_result(task: Task) -> StepResult:
    """Return the result of a task that was done before."""
    return StepResult(number=task.number, name=task.name, outcome="kept")


def actions(task: Task) -> tuple[Run, ...]:
    return tuple(
        Run(title=argv[0], argv=argv, env=task.environment, deadline_s=task.timeout)
        for argv in task.commands
    )


class Tasks:
    """The executor of tasks in one environment. The caller holds the prefix's lock, as for steps.

    `workplace.site` names the environment, `at` the working directory of commands, and `places`
    are the disks that a host's facts are about.
    """

    def __init__(
        self,
        resolution: Resolution,
        workplace: Workplace,
        at: Path,
        places: dict[str, Path],
        checks: CheckSubscriber,
    ) -> None:
        self._plan, self._lock = resolution.plan, resolution.lock
        self._workplace, self._at, self._places = workplace, at, places
        self._events, self._checks = workplace.events, checks
        self._generation = Path(workplace.site.generation)
        self._journal = journal(self._generation)

    def carry_out(self, tasks: Sequence[Task], again: Iterable[str] = ()) -> TasksResult:
        """Carry out tasks in this order until one fails; done ones only if named in `again`."""
        links = fingerprints(tasks)
        todo = {task.label for task in pending(self._generation, tasks)} | set(again)
        result = TasksResult()
        variables = self._environment() if todo else {}
        for task in tasks:
            if task.label not in todo:
                kept = kept_result(task)
                self._events(StepDone(result=kept))
                result = _with(result, kept, TaskOutcome(name=task.label, outcome="kept"))
                continue
            result = self._task(task, links[task.label], variables, result)
            if result.failure or result.concluded:
                break
        return result

    def _task(
        self, task: Task, link: str, variables: dict[str, str], before: TasksResult
    ) -> TasksResult:
        interruption.raise_pending()
        began = time.monotonic()
        self._events(StepStarted(number=task.number, name=task.name, title=task.title))
        failure, against, tried = None, None, CheckResults()
        run = self._workplace.run
        try:
            self._journal.write("started", task.label, link, run)
            commands = self._commands(task, variables)
            interruption.raise_pending()
            tried, against = self._proof(task)
            self._journal.write("failed" if against else "done", task.label, link, run, commands)
        except (StepFailed, OSError) as error:
            failure = error if isinstance(error, StepFailed) else _not_written(error, task)
            # On a full disk the journal's "started" is enough.
            with contextlib.suppress(OSError):
                self._journal.write("failed", task.label, link, run)
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
        ended = TaskOutcome(
            name=task.label,
            outcome="failed" if problem else "done",
            checks=tried.checks,
            figures=tried.figures,
        )
        return msgspec.structs.replace(
            _with(before, result, ended), concluded=against, failure=failure
        )

    def _commands(self, task: Task, variables: dict[str, str]) -> tuple[str, ...]:
        step = Step(
            number=task.number,
            name=task.name,
            title=task.title,
            why=task.why,
            actions=lambda *_: actions(task),
        )
        try:
            with Fetching(variables, self._events) as fetching:
                carrier = Carrier(
                    site=self._workplace.site,
                    folder=self._workplace.logs,
                    events=self._events,
                    environment=variables,
                    fetching=fetching,
                    keep_open=(),  # a service that a task starts must not hold the prefix's lock
                    at=self._at,
                )
                return carrier.carry_out(step, actions(task))
        except NotWritable as failure:
            raise StepFailed(
                f"{failure.where} {failure.what}", where=f"task {task.label}", hint=_REPAIR
            ) from failure
        except StepFailed as failure:
            raise StepFailed(
                failure.what, where=f"task {task.label}", hint=failure.hint
            ) from failure

    def _proof(self, task: Task) -> tuple[CheckResults, Conclusion | None]:
        """Try the checks of a task.

        If a promised one fails, the next run verifies the environment again.
        """
        if not task.checks:
            return CheckResults(), None
        plan, used = self._plan, self._plan.gpus.used
        tried = promised_checks.check_environment(
            plan,
            self._lock,
            str(self._generation),
            task.checks,
            self._workplace.logs / task.label,
            self._checks,
            used,
            promised_checks.record_facts(task.checks, self._places),
        )
        concluded = conclude(tried, task.checks, used)
        if concluded.exit_code == DONE:
            return tried, None
        if {check.name for check in tried.checks if check.outcome == "fail"} & {*plan.checks}:
            verified.withdraw(self._generation)
        return tried, concluded

    def _environment(self) -> dict[str, str]:
        """Return the variables of a shell that has activated the environment."""
        activate = f"{self._generation}/bin/activate"
        finished = process.run(
            ("/bin/sh", "-c", _ACTIVATED, "sh", activate), deadline_s=60.0, env=clean(os.environ)
        )
        if not finished.ok:
            raise StepFailed(
                f"the environment cannot be activated: {finished.problem()}", where=activate
            )
        return dict(line.split("=", 1) for line in finished.stdout.split("\0") if "=" in line)


def _not_written(error: OSError, task: Task) -> StepFailed:
    return StepFailed(
        f"{error.filename or 'its journal'} cannot be written: {error.strerror or error}",
        where=f"task {task.label}",
        hint=_REPAIR,
    )


def _with(before: TasksResult, result: StepResult, ended: TaskOutcome) -> TasksResult:
    return msgspec.structs.replace(
        before, results=(*before.results, result), tasks=(*before.tasks, ended)
    )
