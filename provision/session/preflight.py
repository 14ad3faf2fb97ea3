"""The needs of a plan on this host, measured before anything is built."""

from __future__ import annotations

import tempfile

import msgspec

from provision.engine import needs, promised_checks
from provision.errors import SourceFailed
from provision.plan._model import Plan
from provision.session._model import Session
from provision.steps import step_10_preflight
from provision.steps.model import Lock, Need, Site


def with_warnings(plan: Plan, session: Session, missed: SourceFailed | None) -> Plan:
    """Add to a plan for this host what its installation will stop at."""
    site = Site(
        generation=f"{session.prefix}/{session.run}",
        prefix=session.prefix,
        uv="",
        host_python="",
        temporary=tempfile.gettempdir(),
        logs=session.logs,
    )
    lock = Lock(pins=())  # it is resolved only before something is built
    checked = msgspec.structs.replace(plan, checks=promised_checks.choose_promised(plan, lock))
    actions = step_10_preflight.STEP.actions(checked, lock, site)
    measured = [(need, needs.measure(need)) for need in actions if isinstance(need, Need)]
    unmet = [
        f"the installation would stop: {result.text} ({need.title}); {need.hint}"
        for need, result in measured
        if not result.met
    ]
    if missed:
        unmet.append(f"the installation would stop and ask: {missed.what}")
    return msgspec.structs.replace(plan, warnings=(*plan.warnings, *unmet))
