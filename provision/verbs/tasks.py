"""`tasks`: the numbered units, ours and the user's: how each ended last in this prefix, when, and what proves it."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from provision import terminal
from provision.engine import generations, launch_checks, own_tasks
from provision.engine.journal import Entry, Journal
from provision.errors import DONE
from provision.tasks import Task
from provision.verbs import _own_tasks, _wish

_OUTCOMES: Final = {"done": "done", "failed": "failed", "started": "interrupted"}


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


def run(options: argparse.Namespace) -> int:
    wish = _wish.made(options)
    found = _listed(_own_tasks.found(wish), generations.found(Path(wish.prefix)))
    if options.json:
        terminal.document([msgspec.to_builtins(one) for one in found])
        return DONE
    width = terminal.columns(sys.stdout)
    for one in found:
        where = one.when if one.current or not one.when else f"{one.when} in {one.generation}, which is not current"
        terminal.line(f"{one.number:>2} {one.title:<30}{one.outcome:<13}{where}".rstrip())
        if not options.quiet:
            said = f"proved by: {', '.join(one.checks) or 'no check'}"
            for line in textwrap.wrap(said, width, initial_indent="   ", subsequent_indent="   "):
                terminal.line(line)
    return DONE


def _listed(tasks: Iterable[Task], known: Iterable[generations.Generation]) -> list[Listed]:
    proves: dict[int, list[str]] = {}
    for check in launch_checks.discover():
        proves.setdefault(check.step, []).append(check.name)
    noted = [(one, _noted(Path(one.path))) for one in reversed([*known])]
    found = []
    for task in tasks:
        last = next(((one, said[task.label]) for one, said in noted if task.label in said), None)
        found.append(
            Listed(
                number=task.number,
                name=task.name,
                title=task.title,
                own=not task.is_step,
                outcome=_OUTCOMES[last[1].what] if last else "not yet",
                when=last[1].when if last else "",
                generation=last[0].id if last else "",
                current=bool(last and last[0].current),
                checks=tuple(proves.get(task.number, ())) if task.is_step else task.checks,
            )
        )
    return found


def _noted(generation: Path) -> dict[str, Entry]:
    """What is at work at this moment counts as interrupted: its end is not noted yet."""
    return {**Journal(generation / generations.STATE).last(), **own_tasks.journal(generation).last()}
