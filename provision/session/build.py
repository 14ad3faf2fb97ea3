"""The stage that builds: an environment with every step done, or the part that was asked for."""

from __future__ import annotations

import msgspec

from provision.engine import bring_up, verified
from provision.engine.resolution_cache import Resolution
from provision.errors import DONE, UNDECIDED
from provision.session import request
from provision.session._model import Outcome, Session


def build(session: Session, resolution: Resolution) -> Outcome:
    built = bring_up.build(
        resolution, request.workplace(session, resolution), session.only, session.start
    )
    outcome = Outcome(resolution=resolution, built=built, steps=built.steps)
    # After a part of the steps nothing can be checked yet.
    if not built.complete:
        return msgspec.structs.replace(outcome, verdict="undecided", exit_code=UNDECIDED)
    # A check that failed has withdrawn the report: then the checks run again.
    if (
        built.is_unchanged
        and built.before == outcome.place.name
        and verified.read_report(outcome.place) is not None
    ):
        return _in_place(outcome)
    return outcome


def glance(session: Session, resolution: Resolution) -> Outcome | None:
    """Return the current environment if it is intact, verified and of this resolution.

    Nothing is written and no lock is taken.
    """
    built = bring_up.glance(resolution, request.site(session, resolution))
    if not built:
        return None
    return _in_place(Outcome(resolution=resolution, built=built, steps=built.steps))


def _in_place(outcome: Outcome) -> Outcome:
    return msgspec.structs.replace(outcome, verdict="verified", exit_code=DONE, nothing_to_do=True)
