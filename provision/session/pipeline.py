"""What `up` and `provision` have in common: bringing an environment up, and telling how it ended."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from provision.display import progress, terminal
from provision.display.progress import Followed
from provision.engine import bring_up, resolution_cache
from provision.engine.bring_up import BroughtUp
from provision.engine.events import Note, nobody
from provision.engine.resolution_cache import Wanted
from provision.errors import DONE, Failure, Interrupted, StepFailed
from provision.plan import serve
from provision.report import as_text
from provision.report._model import Report
from provision.session import flash_attn, formats, outputs, request, run_report, run_tasks, upgrade
from provision.session.request import Wish, asked

_GOES_ON: Final = "nothing in use was changed; the same command goes on from here"
_STANDS: Final = "vLLM is ready without flash-attn; the same command goes on with it"


def nothing_to_do(wish: Wish, options: argparse.Namespace) -> int | None:
    """The exit code where what was wanted last is wanted still and stands untouched; nothing is written to see that."""
    last = request.known(wish)
    if not last or last.tool != resolution_cache.tool() or flash_attn.owed(last):
        return None
    came = bring_up.glance(asked(wish, last))
    if not came or run_tasks.pending(wish, came):
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
    """Bring it up, tell it everywhere, say how to serve a model; then add what vLLM does not wait for."""
    anew = only == flash_attn.NUMBER
    whole = only is None and start is None
    if run_tasks.is_one(wish, only) or run_tasks.is_one(wish, start):
        return _tasks_alone(wish, resolved, options, only, start)
    with _heard(wish, resolved, options) as followed:
        if anew or (whole and flash_attn.comes_first(wish, resolved)):
            before = resolved.lock
            resolved = msgspec.structs.replace(resolved, against=()) if anew else resolved
            resolved = flash_attn.settled(wish, resolved, followed, lock, afterwards=anew)
            only = None if resolved.lock != before else only
        came, resolved = _brought_up(wish, resolved, followed, lock, only, start)
        came = flash_attn.with_its_steps(came, followed)
    failure = None
    if only is None:
        came, failure = _own(wish, resolved, came, options, followed, start=start)
    more = whole and came.stands and not failure and flash_attn.owed(resolved)
    heard = None if came.nothing_to_do else followed
    _tell(wish, resolved, came, options, heard, last=not more, new=not (more and came.nothing_to_do))
    if failure:
        raise failure
    return _afterwards(wish, resolved, came, options, lock) if more else came.exit_code


def _tasks_alone(wish: Wish, resolved: Wanted, options: argparse.Namespace, only: int | None, start: int | None) -> int:
    """The user's tasks from one on, or one of them with what it comes after, in the environment as it stands."""
    came, followed = run_tasks.alone(wish, resolved), Followed(nobody)
    came, failure = run_tasks.carried_out(wish, resolved, came, options, followed, only, start)
    _tell(wish, resolved, came, options, followed)
    if failure:
        raise failure
    return came.exit_code


def _own(
    wish: Wish,
    resolved: Wanted,
    came: BroughtUp,
    options: argparse.Namespace,
    followed: Followed,
    start: int | None = None,
) -> tuple[BroughtUp, StepFailed | None]:
    """The user's tasks; whatever becomes of them, the environment's own report is there before."""
    if wish.tasks and not came.nothing_to_do and came.verdict == "verified":
        outputs.everywhere(run_report.report(wish, resolved, came, followed.commands, followed.notes), wish)
    try:
        return run_tasks.carried_out(wish, resolved, came, options, followed, start=start)
    except Interrupted as interrupted:  # the pages must not say that what was begun was not reached
        ended = msgspec.structs.replace(came, exit_code=interrupted.exit_code)
        outputs.everywhere(run_report.report(wish, resolved, ended, followed.commands, followed.notes), wish)
        raise


def _afterwards(wish: Wish, resolved: Wanted, came: BroughtUp, options: argparse.Namespace, lock: int) -> int:
    """flash-attn, and a second environment with it; whatever comes of that, the first one stands."""
    before, first = resolved, came
    try:
        with _heard(wish, resolved, options) as followed:
            followed(Note(text="vLLM is ready; what follows adds flash-attn, and may be interrupted at any time"))
            came, resolved = _with_flash_attn(wish, resolved, came, followed, lock)
        failure = None
        if came.generation != first.generation:
            came, failure = _own(wish, resolved, came, options, followed)
    except Interrupted:
        if options.json:
            terminal.document(run_report.report(wish, resolved, came))
        raise Interrupted("interrupted", hint=_STANDS) from None
    _tell(wish, resolved, came, options, followed, new=(resolved, came) != (before, first))
    if failure:
        raise failure
    return came.exit_code


def _with_flash_attn(
    wish: Wish, resolved: Wanted, first: BroughtUp, followed: Followed, lock: int
) -> tuple[BroughtUp, Wanted]:
    came = first
    try:
        found = flash_attn.settled(wish, resolved, followed, lock, afterwards=True)
        if found.lock != resolved.lock:
            came, resolved = _brought_up(wish, found, followed, lock)
        else:
            resolved = found
            resolution_cache.save(Path(wish.prefix), resolved)
    except Failure as failure:
        resolution_cache.save(Path(wish.prefix), resolved)  # the next run, too, ends well without it
        what, hint = failure.what.splitlines()[0], failure.hint or "the same command goes on with it"
        followed(Note(text=f"flash-attn is not there yet: {what}; {hint}"))
    came = first if came.nothing_to_do else came  # it was taken out again
    return flash_attn.with_its_steps(msgspec.structs.replace(came, nothing_to_do=False), followed), resolved


def _brought_up(
    wish: Wish,
    resolved: Wanted,
    followed: Followed,
    lock: int,
    only: int | None = None,
    start: int | None = None,
) -> tuple[BroughtUp, Wanted]:
    """With a flash-attn that does not fit taken out again; as a guest it is all that is new, and to blame for all."""
    while True:
        guest = flash_attn.is_guest(wish, resolved)
        try:
            came = bring_up.bring_up(
                asked(wish, resolved),
                followed,
                followed,
                partial(_document, wish, resolved, followed),
                partial(upgrade.judged, wish, resolved, followed),
                lock=lock,
                only=only,
                start=start,
                guest=guest,
            )
        except StepFailed:
            without = flash_attn.taken_out(wish, resolved, followed, None, guest=guest)
            if not without:
                raise
        else:
            without = flash_attn.taken_out(wish, resolved, followed, came, guest=guest)
            if not without:
                return came, resolved
        resolved = flash_attn.settled(wish, without, followed, lock)


def _document(wish: Wish, resolved: Wanted, followed: Followed, ended: BroughtUp) -> bytes:
    return outputs.document(run_report.report(wish, resolved, ended, followed.commands, followed.notes))


@contextlib.contextmanager
def _heard(wish: Wish, resolved: Wanted, options: argparse.Namespace) -> Iterator[Followed]:
    """While inside, the engine is heard; where a step fails, programs have a report of it."""
    with progress.followed(options) as followed:
        try:
            yield followed
        except Failure as failure:
            if followed.results or isinstance(failure, StepFailed):
                steps = tuple(followed.results)
                ended = BroughtUp(generation="", steps=steps, exit_code=failure.exit_code)
                told = run_report.report(wish, resolved, ended, followed.commands, followed.notes)
                _tell_programs(told, wish, options)
            raise
        except KeyboardInterrupt:
            raise Interrupted("interrupted", hint=_GOES_ON) from None


def _tell(
    wish: Wish,
    resolved: Wanted,
    came: BroughtUp,
    options: argparse.Namespace,
    heard: Followed | None,
    *,
    last: bool = True,
    new: bool = True,
) -> None:
    """A program has its one document when this is the `last` word; a person hears only what is `new`."""
    told = run_report.report(wish, resolved, came, *((heard.commands, heard.notes) if heard else ()))
    _tell_programs(told, wish, options, done=heard is not None, last=last)
    if new and not (options.json or options.events):
        _tell_a_person(told, came, wish, options)


def _tell_programs(
    told: Report, wish: Wish, options: argparse.Namespace, *, done: bool = True, last: bool = True
) -> None:
    """In all places where the report is looked for, unless nothing was `done`."""
    if done:
        outputs.everywhere(told, wish)
    if options.stream:
        options.stream.report = told
        options.stream.problem, options.stream.hint = upgrade.problem(told), upgrade.hint(told)
    if options.json and last:
        terminal.document(told)


def _tell_a_person(told: Report, came: BroughtUp, wish: Wish, options: argparse.Namespace) -> None:
    if came.nothing_to_do:
        terminal.line(f"nothing to do: {told.generation} is current, whole and verified")
    elif not options.quiet:
        terminal.write(as_text.brief(told))
        if (page := Path(wish.logs) / formats.PAGE).exists():
            terminal.line(f"report: {page}\n")
    if came.earlier:
        terminal.write(upgrade.told(told, came, quiet=options.quiet))
    if came.exit_code == DONE and told.plan:
        terminal.line(f"serve a model: {serve.command(told.plan, wish.prefix)}")
