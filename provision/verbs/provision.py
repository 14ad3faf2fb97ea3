"""`provision`: the numbered steps: all, one, from one on, or only shown."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from provision.display import terminal
from provision.engine import locks, needs, preview
from provision.engine.preview import Foreseen
from provision.engine.resolution_cache import Wanted
from provision.errors import DONE
from provision.plan._model import Unsupported
from provision.session import confirm, pipeline, request, run_tasks
from provision.session.request import Wish
from provision.steps.model import Action, Fetch, Run, Write


def run(options: argparse.Namespace) -> int:
    wish = run_tasks.joined(request.made(options))
    part = {"only": options.only, "start": options.start}
    if options.dry_run:
        found, _ = request.resolved(wish)
        if isinstance(found, Unsupported):
            return confirm.no_plan(found, options)
        return _shown(*_foreseen(wish, found, **part), options)
    with locks.hold(Path(wish.prefix), "provision") as lock:
        settled = confirm.settled(wish, options)
        return settled if isinstance(settled, int) else pipeline.carry_out(wish, settled, options, lock, **part)


def _foreseen(
    wish: Wish, resolved: Wanted, only: int | None = None, start: int | None = None
) -> tuple[str, list[Foreseen]]:
    """The steps, and then the user's tasks; a task that is named alone needs no step."""
    steps: list[Foreseen] = []
    if run_tasks.is_one(wish, only) or run_tasks.is_one(wish, start):
        generation = run_tasks.alone(wish, resolved).generation
    else:
        generation, steps = preview.foreseen(request.asked(wish, resolved), only=only, start=start)
        if only is not None:
            return generation, steps
    return generation, [*steps, *run_tasks.foreseen(wish, generation, only, start)]


def _shown(generation: str, steps: list[Foreseen], options: argparse.Namespace) -> int:
    """What stands, and every action of what would be carried out."""
    if options.json:
        terminal.document({"generation": generation, "steps": steps})
        return DONE
    terminal.line(f"in {generation}{'' if Path(generation).exists() else ', which would be new'}")
    for one in steps:
        terminal.line(f"{one.step}: {one.outcome}")
        for action in one.actions:
            terminal.line(f"    {_line(action)}")
    return DONE


def _line(action: Action) -> str:
    if isinstance(action, Run):
        return shlex.join(action.argv)
    if isinstance(action, Fetch):
        return f"{action.title} into {action.folder}"
    if isinstance(action, Write):
        return f"write {action.path} ({action.title})"
    found = needs.measure(action)
    return f"need {action.title}: {found.said}{'' if found.met else ', WHICH IS NOT MET'}"
