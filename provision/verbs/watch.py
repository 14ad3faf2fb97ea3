"""`watch`: one cheap look, for a timer: where something changed since this host was verified, its checks are tried."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from provision.display import terminal
from provision.doors import files
from provision.engine import environments, locks, verified
from provision.errors import DONE, NotWritable, WrongUsage
from provision.report import diff_as_text, read
from provision.report._comparison import Comparison
from provision.report._model import Report
from provision.session import baselines, drift, request
from provision.session.drift import Look, Seen
from provision.session.request import Wish
from provision.verbs import check

_ASKED = "asked for with --always"


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a look: why it checked (empty: it did not), how that ended, and what changed."""

    changed: tuple[str, ...]
    exit_code: int = DONE
    run: str = ""
    diff: Comparison | None = None


def run(options: argparse.Namespace) -> int:
    wish = request.made(options)
    if environments.current(Path(wish.prefix)) is None:
        raise WrongUsage("there is no current environment to watch", where=wish.prefix, hint="./setup.sh makes one")
    if not options.always and not _changed(wish, drift.seen(_place(wish))):  # not even a lock is touched
        return _told(Watched(changed=()), options)
    with locks.hold(Path(wish.prefix), "watch", only_look=True):
        return _told(_checked(wish, options), options)


def _place(wish: Wish) -> Path:
    return (Path(wish.prefix) / environments.CURRENT).resolve()


def _kept(wish: Wish) -> Path:
    return Path(wish.logs).parent / f"watch-{verified.host_id()}.json"


def _proved(place: Path) -> Report | None:
    """The run that verified what is current; a check that fails withdraws it."""
    return read.where_readable(verified.report(place))


def _changed(wish: Wish, seen: Seen) -> tuple[str, ...]:
    return drift.differences(drift.last(_kept(wish), _proved(_place(wish))), seen)


def _checked(wish: Wish, options: argparse.Namespace) -> Watched:
    place = _place(wish)
    was, seen = _proved(place), drift.seen(place)
    changed = _changed(wish, seen)
    if not changed and not options.always:  # a run that has ended meanwhile has verified it
        return Watched(changed=())
    options.names = []
    told = check.checked(wish, options)
    _keep(_kept(wish), Look(run=told.run, exit_code=told.exit_code, seen=seen))
    before = was or baselines.baseline(Path(wish.logs).parent, but=told.run)
    found = baselines.diff(before, told) if before else None
    return Watched(changed=changed or (_ASKED,), exit_code=told.exit_code, run=told.run, diff=found)


def _keep(place: Path, look: Look) -> None:
    """Where it cannot be kept the next look is as thorough as this one."""
    try:
        files.write(place, msgspec.json.encode(look))
    except NotWritable as failure:
        terminal.note(f"this look is not kept: {failure.said}")


def _told(watched: Watched, options: argparse.Namespace) -> int:
    if options.json:
        terminal.document(watched)
    elif not watched.changed:
        terminal.line("nothing changed since this host was verified")
    else:
        terminal.line(f"looked because: {'; '.join(watched.changed)}")
        terminal.line(f"run {watched.run}: exit code {watched.exit_code}")
        if watched.diff:
            terminal.write(diff_as_text.brief(watched.diff))
    return watched.exit_code
