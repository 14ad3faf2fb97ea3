"""`up`: record, plan, show what it takes, provision what is missing, check, make it current: the main job."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from provision import terminal
from provision.engine import bring_up, wanted
from provision.engine.wanted import Wanted
from provision.errors import DONE, UNSUPPORTED
from provision.plan import explain, serve
from provision.plan._model import Unsupported
from provision.report import as_text
from provision.verbs import _told, _wish
from provision.verbs._progress import Lines


def run(options: argparse.Namespace) -> int:
    wish = _wish.made(options)
    resolved = None if options.upgrade else _wish.known(wish)
    if resolved is None:
        found = _wish.anew(wish)
        if isinstance(found, Unsupported):
            return _no_plan(found, options)
        if not _agreed(found, options):
            terminal.note("nothing was changed")
            return DONE
        wanted.save(Path(wish.prefix), found)
        resolved = found
    return carry_out(wish, resolved, options)


def carry_out(
    wish: _wish.Wish,
    resolved: Wanted,
    options: argparse.Namespace,
    *,
    only: int | None = None,
    start: int | None = None,
) -> int:
    """Bring it up, tell it everywhere, and say how to serve a model."""
    lines = Lines(quiet=options.quiet or options.json)
    came = bring_up.bring_up(
        _wish.asked(wish, resolved),
        lines.event,
        lines.check,
        lambda ended: _told.document(_told.report(wish, resolved, ended)),
        only=only,
        start=start,
    )
    told = _told.report(wish, resolved, came)
    if not came.nothing_to_do:
        _told.everywhere(told, wish, lines.commands)
    if options.json:
        terminal.document(told)
    elif came.nothing_to_do:
        terminal.line(f"nothing to do: {Path(came.generation).name} is current, whole and verified")
    elif not options.quiet:
        terminal.write(as_text.text(told))
    if came.exit_code == DONE and not options.json:
        terminal.line(f"serve a model: {serve.command(resolved.plan, wish.prefix)}")
    return came.exit_code


def _no_plan(found: Unsupported, options: argparse.Namespace) -> int:
    if options.json:
        terminal.document(found)
    else:
        terminal.show(explain.explained(found))
    return UNSUPPORTED


def _agreed(resolved: Wanted, options: argparse.Namespace) -> bool:
    """The plan, what it downloads and takes on disk; a person at a terminal is asked."""
    if not (options.json or options.quiet):
        terminal.show(explain.explained(resolved.plan))
    if options.yes or not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    sys.stderr.write("\nGo on? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
