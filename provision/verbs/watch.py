"""`watch`: a cheap look for a timer; run the checks if something changed since they passed."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from provision.display import terminal
from provision.doors import files
from provision.engine import environments, locks, verified
from provision.errors import DONE, NotWritable, WrongUsage
from provision.report import diff_as_text
from provision.report._comparison import Comparison
from provision.session import baselines, drift, outputs, request
from provision.session._model import Session
from provision.session.drift import LastCheck, Snapshot
from provision.verbs import check

_ALWAYS = "asked for with --always"


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a look: what changed, and how the checks ended if they ran.

    `changed` is empty if nothing was checked.
    """

    changed: tuple[str, ...]
    exit_code: int = DONE
    run: str = ""
    diff: Comparison | None = None


def run(options: argparse.Namespace) -> int:
    session = request.new_session(options)
    if environments.current_id(Path(session.prefix)) is None:
        raise WrongUsage(
            "there is no current environment to watch",
            where=session.prefix,
            hint="./setup.sh makes one",
        )
    # Where nothing changed not even a lock is touched.
    if not options.always and not _changed(session, drift.snapshot(_place(session))):
        return _show(Watched(changed=()), options)
    with locks.hold(Path(session.prefix), "watch", only_look=True):
        return _show(_checked(session, options), options)


def _place(session: Session) -> Path:
    return (Path(session.prefix) / environments.CURRENT).resolve()


def _stored_look(session: Session) -> Path:
    return Path(session.logs).parent / f"watch-{verified.host_id()}.json"


def _changed(session: Session, now: Snapshot) -> tuple[str, ...]:
    return drift.differences(
        drift.last(_stored_look(session), outputs.verified_with(_place(session))), now
    )


def _checked(session: Session, options: argparse.Namespace) -> Watched:
    place = _place(session)
    # A failed check withdraws this report.
    before, now = outputs.verified_with(place), drift.snapshot(place)
    changed = _changed(session, now)
    # A run that ended before this one took the lock may have verified the environment.
    if not changed and not options.always:
        return Watched(changed=())
    options.names = []  # all checks that the plan promises
    report = check.checked(session, options)
    look = LastCheck(run=report.run, exit_code=report.exit_code, seen=now)
    try:
        files.write(_stored_look(session), msgspec.json.encode(look))
    except NotWritable as failure:
        # Then the next look is as thorough as this one.
        terminal.note(f"this look is not stored: {failure.text}")
    before = before or baselines.baseline(Path(session.logs).parent, but=report.run)
    return Watched(
        changed=changed or (_ALWAYS,),
        exit_code=report.exit_code,
        run=report.run,
        diff=baselines.diff(before, report) if before else None,
    )


def _show(watched: Watched, options: argparse.Namespace) -> int:
    if options.json:
        terminal.document(watched)
    elif not watched.changed:
        terminal.line("nothing changed since this host was verified")
    else:
        terminal.line(f"checked because: {'; '.join(watched.changed)}")
        terminal.line(f"run {watched.run}: exit code {watched.exit_code}")
        if watched.diff:
            terminal.write(diff_as_text.brief(watched.diff))
    return watched.exit_code
