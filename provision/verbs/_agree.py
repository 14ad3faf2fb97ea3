"""What `up` and `provision` do before anything is fetched: show the plan, and ask a person at a terminal."""

from __future__ import annotations

import argparse
import sys

from provision import terminal
from provision.engine.wanted import Wanted
from provision.errors import DONE, UNSUPPORTED
from provision.plan import explain
from provision.plan._model import Unsupported
from provision.verbs import _wish
from provision.verbs._wish import Wish


def settled(wish: Wish, options: argparse.Namespace, *, upgrade: bool = False) -> Wanted | int:
    """What is to be brought up, agreed to where it is news; else the exit code."""
    found, is_news = _wish.resolved(wish, upgrade=upgrade)
    if isinstance(found, Unsupported):
        return no_plan(found, options)
    if is_news and not _agreed(found, options):
        terminal.note("nothing was installed or changed")
        return DONE
    return found


def no_plan(found: Unsupported, options: argparse.Namespace) -> int:
    if options.stream:
        options.stream.problem, options.stream.hint = explain.in_one_line(found), "; ".join(found.advice)
    elif options.json:
        terminal.document(found)
    else:
        terminal.show(explain.explained(found))
    return UNSUPPORTED


def _agreed(resolved: Wanted, options: argparse.Namespace) -> bool:
    """The plan, what it downloads and takes on disk; a person at a terminal is asked."""
    if not (options.json or options.quiet or options.events):
        terminal.show(explain.explained(resolved.plan))
    if options.yes or not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    sys.stderr.write("\nGo on? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
