"""A report in one screen of plain text: the verdict first."""

from __future__ import annotations

from provision.engine.launch_checks import CheckResult
from provision.report._model import Report

_MARKS = {"pass": "pass", "warn": "WARN", "fail": "FAIL", "skip": "skip", "error": "ERROR"}


def text(report: Report) -> str:
    """What logs/summary.txt holds."""
    chosen = ", ".join(f"{name} {one.version}" for name, one in report.plan.packages.items() if one)
    runs_on = f"CUDA {report.plan.cuda}" if report.plan.cuda else "CPU"
    lines = [
        f"{report.verdict.upper()} (exit code {report.exit_code})",
        "",
        f"run          {report.run}, started {report.started}",
        f"environment  {report.generation or 'none'}",
        f"plan         {chosen}, Python {report.plan.python}, {runs_on}",
        "",
    ]
    for step in report.steps:
        problem = f"  {step.problem.splitlines()[0]}" if step.problem else ""
        lines.append(f"  {step.number:>2} {step.name:<26}{step.outcome:<6}{step.seconds:>7.1f} s{problem}")
    lines.append("")
    for check in report.checks:
        lines += _check(check)
    return "\n".join(lines) + "\n"


def _check(check: CheckResult) -> list[str]:
    lines = [f"     {check.name:<26}{_MARKS[check.outcome]:<6}{check.seconds:>7.1f} s  {check.summary}"]
    if check.hint and check.outcome not in ("pass", "skip"):
        lines.append(f"{'':48}{check.hint}")
    return lines
