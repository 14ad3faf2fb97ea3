"""The stage that compares: a new environment beside the verified one that it would replace.

A regression keeps the new one from being made current.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from provision.doors import files
from provision.engine import environments, launch_checks, promised_checks, verified
from provision.errors import CHECK_FAILED
from provision.report import compare as reports
from provision.report import diff_as_text, read
from provision.report._comparison import Comparison
from provision.report._model import Report
from provision.results import CheckResults
from provision.session import baselines, run_report
from provision.session._model import Outcome, Session

_ANYWAY = "--set upgrade.on_regression=switch"
_MEASURED = "upgrade"  # a folder beside the verified reports, with one file for each host
_SHOWN = 12
# After a change of one of these, earlier figures are no measure.
_OF_THE_HOST = {"driver", "gpus", "pci_gpus", "gpu_clocks"}


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """The speeds of two environments, measured one after the other in one run.

    `beside` is the id of the environment that was in use.
    """

    beside: str
    old: CheckResults
    new: CheckResults


def compare(session: Session, outcome: Outcome, *, is_stored: bool = False) -> Outcome:
    """Add the regressions against the environment in use, if they are to keep it current.

    `is_stored`: the checks were not tried in this run.
    """
    earlier = _earlier(session, outcome)
    if earlier is None:
        return outcome
    outcome = msgspec.structs.replace(outcome, earlier=earlier)
    settings = session.settings.upgrade
    before = read.report_or_none(earlier)
    # Without a readable report there is nothing to compare with, and no reason to stay.
    if settings.on_regression == "switch" or before is None:
        return outcome
    after = run_report.report(session, outcome)
    if _has_changed_host(baselines.diff(before, after)):
        return outcome
    if settings.compare == "full":
        speeds = _speeds(session, outcome, is_stored=is_stored)
        before, after = _with(before, speeds.old), _with(after, speeds.new)
    # A check of the host says the same of both environments.
    on_host = {check.name for check in launch_checks.discover() if check.on == "host"}
    changes = reports.regressions(baselines.diff(before, after), settings.threshold)
    worse = tuple(change.text for change in changes if change.subject not in on_host)
    if not worse:
        return outcome
    return msgspec.structs.replace(outcome, regressions=worse, exit_code=CHECK_FAILED)


def _earlier(session: Session, outcome: Outcome) -> bytes | None:
    """Return the report of another environment that is current and was verified on this host."""
    before = outcome.built.before
    if before is None or before == outcome.place.name or session.target is not None:
        return None
    return verified.read_report(Path(session.prefix) / before)


def describe(report: Report, outcome: Outcome, *, quiet: bool) -> str:
    """Return what the switch changed, or what prevents it, for a person who knows the verdict."""
    if report.regressions:
        return f"{problem(report)}\n" if quiet else f"{problem(report)}\n{hint(report)}\n"
    before = read.report_or_none(outcome.earlier)
    if quiet or before is None:
        return ""
    changes = diff_as_text.brief(baselines.diff(before, report)).splitlines()
    if len(changes) > _SHOWN:
        changes = [*changes[:_SHOWN], "more of it: ./setup.sh diff"]
    heading = f"beside {outcome.built.before}, which it replaces:"
    return "".join(f"{line}\n" for line in (heading, *(f"  {change}" for change in changes)))


def problem(report: Report) -> str:
    if not report.regressions:
        return ""
    count = len(report.regressions)
    things = "1 thing is" if count == 1 else f"{count} things are"
    return (
        f"{report.generation} is verified, but {things} worse or different: "
        "the one in use stays current"
    )


def hint(report: Report) -> str:
    if not report.regressions:
        return ""
    return f"to switch anyway: ./setup.sh rollback {report.generation}, or {_ANYWAY}"


def _has_changed_host(comparison: Comparison) -> bool:
    causes = (cause for cause in comparison.causes if cause.area == "host")
    return bool({cause.about.split()[0] for cause in causes} & _OF_THE_HOST)


def _with(report: Report, tried: CheckResults) -> Report:
    checks, figures = (*report.checks, *tried.checks), (*report.figures, *tried.figures)
    return msgspec.structs.replace(report, checks=checks, figures=figures)


def _speeds(session: Session, outcome: Outcome, *, is_stored: bool) -> Measured:
    """Measure in both environments what the full profile adds to the quick one.

    If no check is tried in this run, reuse what was measured.
    """
    new, old = outcome.place, Path(session.prefix) / (outcome.built.before or "")
    path = new / environments.STATE / _MEASURED / f"{verified.host_id()}.json"
    known = files.read_document(path, Measured) if is_stored else None
    # Measuring takes minutes, and the same two environments would give the same answer.
    if known and known.beside == old.name:
        return known
    in_use = run_report.installed(old)
    names = sorted(
        {*promised_checks.choose_promised(in_use.plan, in_use.lock, "full")}
        - {*promised_checks.choose_promised(in_use.plan, in_use.lock)}
    )
    logs = Path(session.logs)
    before = promised_checks.check_environment(
        in_use.plan,
        in_use.lock,
        str(old),
        names,
        logs / "before",
        session.listener,
        in_use.plan.gpus.used,
        outcome.facts,
    )
    # A check without figures has nothing to compare.
    measuring = sorted({figure.check for figure in before.figures})
    resolution = outcome.resolution
    after = promised_checks.check_environment(
        resolution.plan,
        resolution.lock,
        str(new),
        measuring,
        logs,
        session.listener,
        outcome.gpus,
        outcome.facts,
    )
    measured = Measured(
        beside=old.name,
        old=_without_evidence(before, measuring),
        new=_without_evidence(after, measuring),
    )
    files.write(path, msgspec.json.encode(measured))
    return measured


def _without_evidence(tried: CheckResults, names: Sequence[str]) -> CheckResults:
    """Return results without evidence: it may name users and hosts, and is not compared."""
    return CheckResults(
        checks=tuple(
            msgspec.structs.replace(check, evidence={})
            for check in tried.checks
            if check.name in names
        ),
        figures=tried.figures,
    )
