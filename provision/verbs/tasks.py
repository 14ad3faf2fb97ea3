"""`tasks`: the numbered units, ours and the user's: how each ended last in this prefix, when, and what proves it."""

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
from provision.engine.journal import Entry, Journal
from provision.errors import DONE, Failure
from provision.report.short import OUTCOMES
from provision.session import outputs, request, run_tasks, runs
from provision.session._model import Session
from provision.tasks import Task

_FAR: Final = 100  # runs that are looked through


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One task; `generation` is the environment in which it ended so, `when` is "" where it was never begun."""

    number: int
    name: str
    title: str
    own: bool
    outcome: str
    when: str
    generation: str
    current: bool
    checks: tuple[str, ...]
    tried: dict[str, str]  # how those of them ended that were tried in the current environment


def run(options: argparse.Namespace) -> int:
    wish = request.made(options)
    found = _listed(run_tasks.found(wish), environments.found(Path(wish.prefix)), _tried(wish))
    if options.json:
        terminal.document([msgspec.to_builtins(one) for one in found])
        return DONE
    width = terminal.columns(sys.stdout)
    for one in found:
        where = one.when if one.current or not one.when else f"{one.when} in {one.generation}, which is not current"
        terminal.line(f"{one.number:>2} {one.title:<30}{one.outcome:<13}{where}".rstrip())
        if not options.quiet:
            for said in _proofs(one):
                for line in textwrap.wrap(said, width, initial_indent="   ", subsequent_indent="     "):
                    terminal.line(line)
    return DONE


def _proofs(one: Listed) -> Iterator[str]:
    """What failed first; a check that nobody has tried proves nothing."""
    for outcome in sorted(set(one.tried.values()), key=OUTCOMES.index):
        yield f"{outcome}: {', '.join(name for name, how in one.tried.items() if how == outcome)}"
    if untried := [name for name in one.checks if name not in one.tried]:
        yield f"not tried: {', '.join(untried)}"
    if not one.checks:
        yield "no check is about it"


def _tried(wish: Session) -> dict[str, str]:
    """How checks ended last on this host in the current environment: back to the newest run that tried all of them."""
    id_ = environments.current(Path(wish.prefix))
    logs, told = Path(wish.logs).parent, []
    for run in runs.ids(logs)[:_FAR] if id_ else ():
        with contextlib.suppress(Failure):  # killed, still at work, or written by another version
            report = runs.read(logs, run)
            if (report.generation, report.host.get("id")) == (id_, verified.host_id()):
                told.append(report)
                if report.checks and not report.part and not report.steps:
                    break
    before = outputs.verified_with(Path(wish.prefix) / id_) if id_ else None
    reports = sorted([*told, *([before] if before else [])], key=lambda one: one.run)
    return {check.name: check.outcome for one in reports for check in one.checks}


def _listed(tasks: Iterable[Task], known: Iterable[environments.Generation], tried: Mapping[str, str]) -> list[Listed]:
    checks = launch_checks.discover()
    noted = [(one, _noted(Path(one.path))) for one in reversed([*known])]
    found = []
    for task in tasks:
        proving = discover_tasks.proving(task, checks)
        last = next(((one, said[task.label]) for one, said in noted if task.label in said), None)
        found.append(
            Listed(
                number=task.number,
                name=task.name,
                title=task.title,
                own=not task.is_step,
                outcome=last[1].outcome if last else "not yet",
                when=last[1].when if last else "",
                generation=last[0].id if last else "",
                current=bool(last and last[0].current),
                checks=proving,
                tried={name: tried[name] for name in proving if name in tried},
            )
        )
    return found


def _noted(generation: Path) -> dict[str, Entry]:
    return {**Journal(generation / environments.STATE).last(), **user_tasks.journal(generation).last()}
