"""`provision`: the numbered steps: all, one, from one on, or only shown."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from provision import terminal
from provision.engine import bring_up, interruption, locks, wanted
from provision.errors import DONE
from provision.plan._model import Unsupported
from provision.steps import Need, Run, Write
from provision.verbs import _bring, _wish


def run(options: argparse.Namespace) -> int:
    wish = _wish.made(options)
    with interruption.as_one(), locks.hold(Path(wish.prefix), "provision") as lock:
        resolved = _wish.known(wish)
        if resolved is None:
            found = _wish.anew(wish)
            if isinstance(found, Unsupported):
                return _bring.no_plan(found, options)
            resolved = found
        if options.dry_run:
            return _shown(_wish.asked(wish, resolved), options)
        wanted.save(Path(wish.prefix), resolved)
        return _bring.carry_out(wish, resolved, options, lock, only=options.only, start=options.start)


def _shown(asked: bring_up.Asked, options: argparse.Namespace) -> int:
    """Every action as it would be carried out."""
    steps = bring_up.dry_run(asked)
    if options.json:
        terminal.document(steps)
        return DONE
    for label, actions in steps.items():
        terminal.line(f"{label}{'' if actions else ': nothing to do'}")
        for action in actions:
            terminal.line(f"    {_line(action)}")
    return DONE


def _line(action: object) -> str:
    if isinstance(action, Run):
        return shlex.join(action.argv)
    if isinstance(action, Write):
        return f"write {action.path} ({action.title})"
    if isinstance(action, Need):
        return f"need {action.title}" + (f": {action.mb} MB" if action.mb else "")
    return str(action)
