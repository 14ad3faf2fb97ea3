"""The stage that checks: the promised checks of an environment, and the conclusion from them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from provision.engine import promised_checks, verified
from provision.engine.conclude import conclude
from provision.errors import DONE
from provision.results import CheckResults
from provision.session import inputs
from provision.session._model import Outcome, Session


def check(session: Session, outcome: Outcome) -> Outcome:
    """Run the promised checks. GPUs of another host cannot be tried here."""
    plan, lock = outcome.resolution.plan, outcome.resolution.lock
    # The GPUs and facts of this host say nothing about the target.
    elsewhere = session.target is not None
    gpus = () if elsewhere else plan.gpus.used
    facts = (
        {}
        if elsewhere
        else promised_checks.record_facts(plan.checks, inputs.paths(session.settings))
    )
    tried = promised_checks.check_environment(
        plan,
        lock,
        outcome.generation,
        plan.checks,
        Path(session.logs),
        session.listener,
        gpus,
        facts,
    )
    concluded = conclude(tried, plan.checks, gpus)
    return msgspec.structs.replace(
        outcome,
        tried=tried,
        promised=plan.checks,
        gpus=gpus,
        verdict=concluded.verdict,
        exit_code=concluded.exit_code,
        facts=facts,
    )


def stored(outcome: Outcome) -> Outcome | None:
    """Return the outcome with the results of the run that verified this environment here before.

    None if a step was carried out since, or if there is no readable report.
    """
    report = verified.read_report(outcome.place) if outcome.built.is_unchanged else None
    if report is None:
        return None
    # An older version may have written a report that this one cannot read.
    try:
        tried = msgspec.json.decode(report, type=CheckResults)
        facts = msgspec.json.decode(report).get("host", {}).get("facts", {})
    except ValueError:
        return None
    plan = outcome.resolution.plan
    return msgspec.structs.replace(
        outcome,
        tried=tried,
        promised=plan.checks,
        gpus=plan.gpus.used,
        verdict="verified",
        exit_code=DONE,
        facts=facts,
    )
