"""The stage that switches: keep the report, make the environment current, tidy the prefix."""

from __future__ import annotations

from pathlib import Path

import msgspec

from provision.engine import bring_up, environments, verified
from provision.session import outputs, run_report
from provision.session._model import Outcome, Session


def switch(session: Session, outcome: Outcome, *, only_adds: bool) -> Outcome:
    """Make a verified environment current, unless it is worse than the one in use.

    One for another host becomes current, too, if all that is open is for that host to prove.
    `only_adds`: the one in use is the same without an optional package.
    """
    if outcome.verdict == "verified":
        verified.save(outcome.place, outputs.document(run_report.report(session, outcome)))
        # With a regression it is kept beside the current one, like any other environment.
        if outcome.regressions:
            tidy(session, outcome)
            return outcome
    owed = _owed(session, outcome)
    if outcome.verdict != "verified" and not owed:
        verified.withdraw(outcome.place)
        return outcome
    environments.switch(Path(session.prefix), outcome.place.name)
    # Else two environments of one upgrade would push out the way back.
    replaced = outcome.built.before if only_adds else None
    tidy(session, outcome, replaced)
    return msgspec.structs.replace(outcome, owed=owed)


def _owed(session: Session, outcome: Outcome) -> tuple[str, ...]:
    """Return the checks that only the target host can try, if nothing else is open."""
    checks = outcome.tried.checks
    if session.target is None or {check.outcome for check in checks} - {"pass", "warn", "skip"}:
        return ()
    return tuple(check.name for check in checks if check.outcome == "skip")


def tidy(session: Session, outcome: Outcome, replaced: str | None = None) -> None:
    """Remove what the prefix needs no more. `replaced` was current and is only added to."""
    bring_up.tidy(
        Path(session.prefix),
        outcome.built,
        session.settings.keep,
        replaced=replaced,
        # A killed compilation resumes in its toolkit.
        keep_toolkits=outcome.resolution.plan.compiles,
    )
