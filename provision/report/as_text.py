"""A report in one screen of plain text: the verdict first."""

from __future__ import annotations

from provision.report._model import CheckResult, Report

_MARKS = {"pass": "pass", "warn": "WARN", "fail": "FAIL", "skip": "skip", "error": "ERROR"}


def text(report: Report) -> str:
    """What logs/summary.txt holds."""
    lines = [f"{report.verdict.upper()} (exit code {report.exit_code})", ""]
    lines.append(f"run         {report.run}, started {report.started}")
    if report.generation:
        lines.append(f"environment {report.generation}")
    if report.plan:
        chosen = ", ".join(f"{name} {one.version}" for name, one in report.plan.packages.items() if one)
        lines.append(f"plan        {chosen}, Python {report.plan.python}, {report.plan.cuda or 'CPU'}")
    lines += ["", "steps"]
    for step in report.steps:
        problem = f": {step.problem.splitlines()[0]}" if step.problem else ""
        lines.append(f"  {step.number:>2} {step.name:<14}{step.outcome:<8}{step.seconds:>8.1f} s{problem}")
    lines += ["", "checks"]
    for check in report.checks:
        lines += _check(check)
    return "\n".join(lines) + "\n"


def _check(check: CheckResult) -> list[str]:
    lines = [f"  {_MARKS[check.outcome]:<6}{check.name:<26}{check.seconds:>8.1f} s  {check.summary}"]
    if check.hint and check.outcome not in ("pass", "skip"):
        lines.append(f"        {check.hint}")
    return lines
