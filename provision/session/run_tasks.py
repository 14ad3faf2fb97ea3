"""The user's tasks in a run: read before anything changes, carried out at its end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from provision.display import progress
from provision.engine import discover_tasks, environments, user_tasks
from provision.engine.preview import PlannedStep
from provision.engine.resolution_cache import Resolution
from provision.engine.user_tasks import TasksResult
from provision.errors import Interrupted, StepFailed, WrongUsage
from provision.session import build, check, inputs, outputs, request, run_report
from provision.session._model import Outcome, Session
from provision.tasks import Task

_RESUME: Final = (
    "the environment is current and verified; the same command continues with your tasks"
)


def all_tasks(session: Session) -> tuple[Task, ...]:
    """Return every task, ours and the user's. Raise if one of them cannot be used."""
    return discover_tasks.discover(
        Path(inputs.checkout()) / session.settings.tasks, session.settings.tasks
    )


def with_tasks(session: Session) -> Session:
    """Return the session with the user's tasks. An environment for another host has none here."""
    return msgspec.structs.replace(
        session,
        tasks=()
        if session.target
        else tuple(task for task in all_tasks(session) if not task.is_step),
    )


def pending(session: Session, outcome: Outcome) -> bool:
    return bool(user_tasks.pending(outcome.place, session.tasks))


def names_task(session: Session) -> bool:
    """Return whether `--only` or `--from` names a task, and no step."""
    return any(task.number in (session.only, session.start) for task in session.tasks)


def base(session: Session, resolution: Resolution) -> Outcome:
    """Return the environment that a named task needs. It must be in place and verified."""
    outcome = build.glance(session, resolution)
    if outcome is None:
        raise WrongUsage(
            "tasks need an environment that is current, intact and verified",
            hint="./setup.sh makes it so",
        )
    return outcome


def preview(session: Session, generation: str) -> list[PlannedStep]:
    todo = {task.label for task in user_tasks.pending(Path(generation), session.tasks)}
    todo |= _again(session)
    return [
        PlannedStep(step=task.label, outcome="would run", actions=user_tasks.actions(task))
        if task.label in todo
        else PlannedStep(step=task.label, outcome="kept")
        for task in _chosen(session)
    ]


def carry_out(session: Session, outcome: Outcome) -> tuple[Outcome, StepFailed | None]:
    """Carry out the tasks; return the outcome and the failure to raise after its report.

    The environment's own report is written before, and again if the user interrupts: its pages
    must not say that a task was not reached that was begun.
    """
    if outcome.nothing_to_do and (pending(session, outcome) or names_task(session)):
        # The report of the tasks shows what the environment has proved before.
        outcome = msgspec.structs.replace(check.stored(outcome) or outcome, nothing_to_do=False)
    elif (
        session.tasks
        and outcome.verdict == "verified"
        and not outcome.nothing_to_do
        and not names_task(session)
    ):
        outputs.everywhere(run_report.report(session, outcome), session)
    try:
        return _carried_out(session, outcome)
    except Interrupted as interrupted:
        ended = msgspec.structs.replace(outcome, exit_code=interrupted.exit_code)
        if not names_task(session):
            outputs.everywhere(run_report.report(session, ended), session)
        raise


def _carried_out(session: Session, outcome: Outcome) -> tuple[Outcome, StepFailed | None]:
    chosen = _chosen(session)
    is_current = environments.current_id(outcome.place.parent) == outcome.place.name
    if not chosen or outcome.verdict != "verified" or not is_current:
        return outcome, None
    # A display of its own: that of the steps has ended, and has given the cursor back.
    with progress.listening(session.options) as listener:
        tasks = user_tasks.Tasks(
            outcome.resolution,
            request.workplace(
                msgspec.structs.replace(session, listener=listener),
                outcome.resolution,
                outcome.generation,
            ),
            Path(inputs.checkout()),
            inputs.paths(session.settings),
            listener,
        )
        try:
            result = tasks.carry_out(chosen, _again(session))
        except KeyboardInterrupt:
            raise Interrupted("interrupted", hint=_RESUME) from None
        except StepFailed as failure:
            result = TasksResult(failure=failure)
    session.listener.add(listener)
    return _with(outcome, result), result.failure


def _chosen(session: Session) -> Sequence[Task]:
    if session.only is None:
        return session.tasks
    (task,) = (task for task in session.tasks if task.number == session.only)
    before = _before(session, task)
    return [*(other for other in session.tasks if other.label in before), task]


def _before(session: Session, task: Task) -> set[str]:
    """Return all that a task comes after, directly or not; what is not done is done first."""
    by_label = {other.label: other for other in session.tasks}
    names = {name for name in task.after if name in by_label}
    return names.union(*(_before(session, by_label[name]) for name in names))


def _again(session: Session) -> set[str]:
    """Return the tasks that are carried out even if they are done: those that were named."""
    numbers = [task.number for task in session.tasks]
    first = numbers.index(session.start) if session.start in numbers else len(numbers)
    return {task.label for task in session.tasks if task.number == session.only} | {
        task.label for task in session.tasks[first:]
    }


def _with(outcome: Outcome, result: TasksResult) -> Outcome:
    """Add the ends of tasks. What the environment has proved stays as it is."""
    against = result.failure or result.concluded
    return msgspec.structs.replace(
        outcome,
        steps=(*outcome.steps, *result.results),
        tasks=result.tasks,
        exit_code=against.exit_code if against else outcome.exit_code,
    )
