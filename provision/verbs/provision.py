"""`provision`: the numbered steps: all, one, from one on, or only shown."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from provision import terminal
from provision.engine import foresee, locks, needs
from provision.errors import DONE
from provision.plan._model import Unsupported
from provision.steps import Action, Fetch, Run, Write
from provision.verbs import _agree, _bring, _wish


def run(options: argparse.Namespace) -> int:
    wish = _wish.made(options)
    part = {"only": options.only, "start": options.start}
    if options.dry_run:
        found, _ = _wish.resolved(wish)
        if isinstance(found, Unsupported):
            return _agree.no_plan(found, options)
        return _shown(*foresee.foreseen(_wish.asked(wish, found), **part), options)
    with locks.hold(Path(wish.prefix), "provision") as lock:
        settled = _agree.settled(wish, options)
        return settled if isinstance(settled, int) else _bring.carry_out(wish, settled, options, lock, **part)


def _shown(generation: str, steps: list[foresee.Foreseen], options: argparse.Namespace) -> int:
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
