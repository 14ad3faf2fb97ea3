"""What `up` and `provision` have in common: bringing an environment up, and telling how it ended."""

from __future__ import annotations

import argparse
from pathlib import Path

from provision import terminal
from provision.engine import bring_up
from provision.engine.wanted import Wanted
from provision.errors import DONE, StepFailed
from provision.plan import serve
from provision.report import as_text
from provision.verbs import _told
from provision.verbs._progress import Lines
from provision.verbs._wish import Wish, asked


def carry_out(
    wish: Wish,
    resolved: Wanted,
    options: argparse.Namespace,
    lock: int,
    *,
    only: int | None = None,
    start: int | None = None,
) -> int:
    """Bring it up, tell it everywhere, and say how to serve a model."""
    lines = Lines(quiet=options.quiet or options.json)
    try:
        came = bring_up.bring_up(
            asked(wish, resolved),
            lines.event,
            lines.check,
            lambda ended: _told.document(_told.report(wish, resolved, ended)),
            lock=lock,
            only=only,
            start=start,
        )
    except StepFailed as failure:
        ended = bring_up.BroughtUp(generation="", steps=tuple(lines.results), exit_code=failure.exit_code)
        _told.everywhere(_told.report(wish, resolved, ended), wish, lines.commands)
        raise
    except KeyboardInterrupt:
        terminal.note("nothing in use was changed; the same command goes on from here")
        raise
    told = _told.report(wish, resolved, came)
    if not came.nothing_to_do:
        _told.everywhere(told, wish, lines.commands)
    if options.json:
        terminal.document(told)
    elif came.nothing_to_do:
        terminal.line(f"nothing to do: {Path(came.generation).name} is current, whole and verified")
    elif not options.quiet:
        terminal.write(as_text.brief(told))
    if came.exit_code == DONE and not options.json:
        terminal.line(f"serve a model: {serve.command(resolved.plan, wish.prefix)}")
    return came.exit_code
