"""The baseline: the run that later runs are compared with, chosen or the last verified one."""

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
    titles = {step.number: step.name for step in discover_steps.discover()}
    return compare.compare(
        before,
        after,
        record.moving_parts(),
        {check.name: titles.get(check.step, "") for check in launch_checks.discover()},
    )


def baseline(logs: Path, *, of: str | None = None, but: str = "") -> Report | None:
    """Return the baseline of a host, by default of this one.

    Without a chosen baseline it is the newest suitable run; the run `but` and later ones are left
    out, because a run is compared with what came before it.
    """
    host = of or verified.host_id()
    report = chosen(logs, host)
    if report is not None and report.run != but:
        return report
    for run in runs.ids(logs):
        try:
            report = runs.read(logs, run)
        except Failure:  # killed, or still at work
            continue
        if run != but and (not but or run < but) and not unfit(report, host):
            return report
    return None


def chosen(logs: Path, host: str) -> Report | None:
    """Return the report that `baseline set` copied, None if none was set."""
    path = _path(logs, host)
    return runs.read(logs, str(path)) if path.exists() else None


def choose(logs: Path, report: Report) -> Path:
    """Copy a report as the baseline of this host; raise WrongUsage if it is not suitable.

    It is a copy because the folders of runs may be deleted.
    """
    host = verified.host_id()
    if reason := unfit(report, host):
        raise WrongUsage(
            f"run {report.run} {reason}",
            hint="a baseline is a verified run of this host: ./setup.sh check",
        )
    path = _path(logs, host)
    files.write(path, outputs.document(report))
    return path


def unfit(report: Report, host: str) -> str:
    """Return why other runs of a host cannot be compared with this one; "" if they can."""
    if report.host.get("id") != host:
        return "is of another host"
    if report.plan is None:
        return "is not of an environment that vllm-ready made"
    if report.doubt:
        return report.doubt
    if report.verdict != "verified" or report.exit_code != DONE:
        return f"is not verified: {report.verdict}, exit code {report.exit_code}"
    if missing := set(report.plan.checks) - set(report.promised):
        return f"did not run all promised checks: {', '.join(sorted(missing))}"
    return ""


def _path(logs: Path, host: str) -> Path:
    return logs / f"baseline-{host}.json"
