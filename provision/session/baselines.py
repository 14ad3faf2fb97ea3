"""What a run is compared with: the baseline of this host, or the last run that verified all that its plan promises."""

from __future__ import annotations

from pathlib import Path

from provision.doors import files
from provision.engine import discover_steps, launch_checks, verified
from provision.errors import DONE, Failure, WrongUsage
from provision.host import record
from provision.report import compare
from provision.report._comparison import Comparison
from provision.report._model import Report
from provision.session import outputs, runs


def diff(before: Report, after: Report) -> Comparison:
    """What changed from one run to the other, with what the house knows of facts and checks."""
    titles = {step.number: step.name for step in discover_steps.discover()}
    steps = {one.name: titles.get(one.step, "") for one in launch_checks.discover()}
    return compare.compare(before, after, record.moving(), steps)


def baseline(logs: Path, *, of: str | None = None, but: str = "") -> Report | None:
    """Of this host, or of the one with this id: what was set, else what was verified last; never the run `but`."""
    host = of or verified.host_id()
    chosen = set_one(logs, host)
    if chosen is not None and chosen.run != but:
        return chosen
    for run in runs.ids(logs):
        try:
            found = runs.read(logs, run)
        except Failure:  # killed, or still at work
            continue
        if run != but and (not but or run < but) and not unfit(found, host):
            return found
    return None


def set_one(logs: Path, host: str) -> Report | None:
    """The copy that `baseline set` has left."""
    place = _place(logs, host)
    return runs.read(logs, str(place)) if place.exists() else None


def choose(logs: Path, report: Report) -> Path:
    """Keep a copy, since runs may be deleted; WrongUsage where it is nothing to be measured by."""
    if reason := unfit(report, verified.host_id()):
        raise WrongUsage(
            f"run {report.run} {reason}", hint="a baseline is a verified run of this host: ./setup.sh check"
        )
    place = _place(logs, verified.host_id())
    files.write(place, outputs.document(report))
    return place


def newest(logs: Path, *, whole: bool = False) -> Report:
    """The newest run that has a report, or of those that tried all that is promised; one that was killed has none."""
    for run in runs.ids(logs):
        if (logs / run / runs.REPORT).is_file():
            found = runs.read(logs, run)
            if not (whole and found.part):
                return found
    return runs.read(logs, None)


def unfit(report: Report, host: str) -> str:
    """Why a run is no measure for others of a host; empty where it is one."""
    if report.host.get("id") != host:
        return "is of another host"
    if report.doubt:
        return report.doubt
    if report.verdict != "verified" or report.exit_code != DONE:
        return f"is not one to be measured by: {report.verdict}, exit code {report.exit_code}"
    left_out = set(report.plan.checks if report.plan else ()) - set(report.promised)
    if left_out:
        return f"did not try all that is promised: {', '.join(sorted(left_out))}"
    return ""


def _place(logs: Path, host: str) -> Path:
    return logs / f"baseline-{host}.json"
