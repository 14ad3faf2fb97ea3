"""`up`: record, plan, show what it takes, provision what is missing, check, make it current: the main job."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from provision import terminal
from provision.engine import interruption, locks, wanted
from provision.engine.wanted import Wanted
from provision.errors import DONE
from provision.plan import explain
from provision.plan._model import Unsupported
from provision.verbs import _bring, _wish


def run(options: argparse.Namespace) -> int:
    wish = _wish.made(options)
    with interruption.as_one(), locks.hold(Path(wish.prefix), "up") as lock:
        resolved = None if options.upgrade else _wish.known(wish)
        if resolved is None:
            found = _wish.anew(wish)
            if isinstance(found, Unsupported):
                return _bring.no_plan(found, options)
            if not _agreed(found, options):
                terminal.note("nothing was installed or changed")
                return DONE
            wanted.save(Path(wish.prefix), found)
            resolved = found
        return _bring.carry_out(wish, resolved, options, lock)


def _agreed(resolved: Wanted, options: argparse.Namespace) -> bool:
    """The plan, what it downloads and takes on disk; a person at a terminal is asked."""
    if not (options.json or options.quiet):
        terminal.show(explain.explained(resolved.plan))
    if options.yes or not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    sys.stderr.write("\nGo on? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
