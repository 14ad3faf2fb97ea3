"""`tasks`: lists the numbered tasks with their last outcome and the checks that prove them."""

from __future__ import annotations

import argparse
import contextlib
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from provision.display import terminal
from provision.engine import discover_tasks, environments, launch_checks, user_tasks, verified
from provision.engine.journal import Journal, JournalEntry
from provision.errors import DONE, Failure
from provision.report.short import OUTCOMES
from provision.session import outputs, request, run_tasks, runs
from provision.session._model import Session
from provision.tasks import Task

_MOST_RUNS: Final = 100  # runs to search for the last outcome of a check


class TaskState(msgspec.Struct, frozen=True, kw_only=True):
    """A task and its last outcome; `generation` is the environment of that outcome.

    `when` is empty if the task was never started.
    """

    number: int
    name: str
    title: str
    own: bool
    outcome: str
    when: str
    generation: str
    current: bool
    checks: tuple[str, ...]
    tried: dict[str, str]  # outcomes of those checks that ran in the current environment


def run(options: argparse.Namespace) -> int:
    session = request.new_session(options)
    known = environments.list_environments(Path(session.prefix))
    states = _states(run_tasks.all_tasks(session), known, _outcomes(session))
    if options.json:
        terminal.document([msgspec.to_builtins(state) for state in states])
        return DONE
    width = terminal.columns(sys.stdout)
    for state in states:
        when = state.when
        if when and not state.current:
            when = f"{when} in {state.generation}, which is not current"
        terminal.line(f"{state.number:>2} {state.title:<30}{state.outcome:<13}{when}".rstrip())
        if not options.quiet:
            for proof in _proofs(state):
                for line in textwrap.wrap(
                    proof, width, initial_indent="   ", subsequent_indent="     "
                ):
                    terminal.line(line)
    if (begun := environments.begun_last(known)) and not options.quiet:
        terminal.note(f"{begun.id} is newer and not finished: ./setup.sh goes on with it")
    return DONE


def _proofs(state: TaskState) -> Iterator[str]:
    for outcome in sorted(set(state.tried.values()), key=OUTCOMES.index):
        names = [name for name, tried in state.tried.items() if tried == outcome]
        yield f"{outcome}: {', '.join(names)}"
    if untried := [name for name in state.checks if name not in state.tried]:
        yield f"not run: {', '.join(untried)}"
    if not state.checks:
        yield "no check covers it"


def _outcomes(session: Session) -> dict[str, str]:
    """Return the last outcome of each check on this host in the current environment.

    The search goes back to the newest run that tried all checks.
    """
    current = environments.current_id(Path(session.prefix))
    logs, reports = Path(session.logs).parent, []
    for run in runs.ids(logs)[:_MOST_RUNS] if current else ():
        with contextlib.suppress(Failure):  # killed, still at work, or of another version
            report = runs.read(logs, run)
            if (report.generation, report.host.get("id")) == (current, verified.host_id()):
                reports.append(report)
                if report.checks and not report.part and not report.steps:
                    break
    proof = outputs.verified_with(Path(session.prefix) / current) if current else None
    reports = sorted([*reports, *([proof] if proof else [])], key=lambda report: report.run)
    checks = [
        check
        for report in reports
        for check in (*report.checks, *(check for task in report.tasks for check in task.checks))
    ]
    return {check.name: check.outcome for check in checks}


def _states(
    tasks: Iterable[Task],
    existing: Iterable[environments.Environment],
    outcomes: Mapping[str, str],
) -> list[TaskState]:
    checks = launch_checks.discover()
    newest_first = reversed([*existing])
    in_order = sorted(newest_first, key=lambda environment: not environment.current)
    journals = [(item, _journal(Path(item.path))) for item in in_order]
    states = []
    for task in tasks:
        proving = discover_tasks.checks_that_prove(task, checks)
        environment, entry = next(
            (
                (environment, journal[task.label])
                for environment, journal in journals
                if task.label in journal
            ),
            (None, None),
        )
        states.append(
            TaskState(
                number=task.number,
                name=task.name,
                title=task.title,
                own=not task.is_step,
                outcome=entry.outcome if entry else "not yet",
                when=entry.when if entry else "",
                generation=environment.id if environment else "",
                current=bool(environment and environment.current),
                checks=proving,
                tried={name: outcomes[name] for name in proving if name in outcomes},
            )
        )
    return states


def _journal(environment: Path) -> dict[str, JournalEntry]:
    return {
        **Journal(environment / environments.STATE).last_entries(),
        **user_tasks.journal(environment).last_entries(),
    }
