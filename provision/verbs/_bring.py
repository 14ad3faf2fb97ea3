"""What `up` and `provision` have in common: bringing an environment up, and telling how it ended."""

from __future__ import annotations

import argparse
from typing import Final

from provision import terminal
from provision.engine import bring_up, wanted
from provision.engine.wanted import Wanted
from provision.errors import DONE, Failure, Interrupted, StepFailed
from provision.plan import serve
from provision.report import as_text
from provision.report._model import Report
from provision.verbs import _progress, _told, _wish
from provision.verbs._wish import Wish, asked

_GOES_ON: Final = "nothing in use was changed; the same command goes on from here"


def nothing_to_do(wish: Wish, options: argparse.Namespace) -> int | None:
    """The exit code where what was wanted last is wanted still and stands untouched; nothing is written to see that."""
    last = _wish.known(wish)
    came = bring_up.glance(asked(wish, last)) if last and last.tool == wanted.tool() else None
    if not last or not came:
        return None
    _tell(wish, last, came, options, None)
    return came.exit_code


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
    with _progress.followed(options) as followed:
        try:
            came = bring_up.bring_up(
                asked(wish, resolved),
                followed,
                followed,
                lambda ended: _told.document(_told.report(wish, resolved, ended)),
                lock=lock,
                only=only,
                start=start,
            )
        except Failure as failure:
            if followed.results or isinstance(failure, StepFailed):
                steps = tuple(followed.results)
                ended = bring_up.BroughtUp(generation="", steps=steps, exit_code=failure.exit_code)
                _tell_programs(_told.report(wish, resolved, ended), wish, options, followed.commands)
            raise
        except KeyboardInterrupt:
            raise Interrupted("interrupted", hint=_GOES_ON) from None
    _tell(wish, resolved, came, options, None if came.nothing_to_do else followed.commands)
    return came.exit_code


def _tell(
    wish: Wish,
    resolved: Wanted,
    came: bring_up.BroughtUp,
    options: argparse.Namespace,
    commands: dict[str, list[str]] | None,
) -> None:
    told = _told.report(wish, resolved, came)
    _tell_programs(told, wish, options, commands)
    if not (options.json or options.events):
        _tell_a_person(told, came, wish, options)


def _tell_programs(
    told: Report, wish: Wish, options: argparse.Namespace, commands: dict[str, list[str]] | None
) -> None:
    """In all places where the report is looked for; `commands` is None where nothing was done."""
    if commands is not None:
        _told.everywhere(told, wish, commands)
    if options.stream:
        options.stream.report = told
    if options.json:
        terminal.document(told)


def _tell_a_person(told: Report, came: bring_up.BroughtUp, wish: Wish, options: argparse.Namespace) -> None:
    if came.nothing_to_do:
        terminal.line(f"nothing to do: {told.generation} is current, whole and verified")
    elif not options.quiet:
        terminal.write(as_text.brief(told))
    if came.exit_code == DONE:
        terminal.line(f"serve a model: {serve.command(told.plan, wish.prefix)}")
