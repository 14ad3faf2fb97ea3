"""A report in one screen of plain text: the verdict first."""

from __future__ import annotations

from provision.engine.events import StepResult
from provision.engine.tried import CheckResult
from provision.plan._model import Plan
from provision.report._model import Report

_FLASH_ATTN = "flash-attn"
_MARKS = {"pass": "pass", "warn": "WARN", "fail": "FAIL", "skip": "skip", "error": "ERROR"}


def text(report: Report, prefix: str) -> str:
    """What logs/summary.txt holds; all prefixes write that one file, so it names the prefix."""
    return "".join(f"{line}\n" for line in _lines(report, report.place(prefix), report.steps, report.checks))


def brief(report: Report) -> str:
    """For who has seen each step and check go by: the verdict, and only what did not go well."""
    steps = tuple(step for step in report.steps if step.outcome == "failed")
    checks = tuple(check for check in report.checks if check.outcome not in ("pass", "skip"))
    return "".join(f"{line}\n" for line in _lines(report, report.generation or "none", steps, checks))


def _lines(
    report: Report, environment: str, steps: tuple[StepResult, ...], checks: tuple[CheckResult, ...]
) -> list[str]:
    lines = [
        f"{report.verdict.upper()} (exit code {report.exit_code})",
        "",
        f"run          {report.run}, started {report.started}",
        f"environment  {environment}",
        *(_planned(report.plan) if report.plan else ()),
        "",
    ]
    for step in steps:
        problem = f"  {step.problem.splitlines()[0]}" if step.problem else ""
        lines.append(f"  {step.number:>2} {step.name:<26}{step.outcome:<6}{step.seconds:>7.1f} s{problem}")
    lines += [""] if steps else []
    for check in checks:
        lines += _check(check)
    if report.owed:
        lines += ["", "everything that can be proved here passed, and this is current now", ""]
        lines += [f"owed     {', '.join(report.owed)}: only the host can try them that this was built for"]
    return lines


def _planned(plan: Plan) -> tuple[str, str]:
    packages = {name: one for name, one in plan.packages.items() if one and name != _FLASH_ATTN}
    chosen = ", ".join(f"{name} {one.version}" for name, one in packages.items())
    runs_on = f"CUDA {plan.cuda}" if plan.cuda else "CPU"
    return f"plan         {chosen}, Python {plan.python}, {runs_on}", f"flash-attn   {_flash_attn(plan)}"


def _flash_attn(plan: Plan) -> str:
    """What was decided, and the first reason; a build that is planned is none that is there."""
    package = plan.packages.get(_FLASH_ATTN)
    why = plan.flash_attn.why.partition(". ")[0]
    return f"{plan.flash_attn.mode}{f' {package.version}' if package else ''}: {why}"


def _check(check: CheckResult) -> list[str]:
    lines = [f"     {check.name:<26}{_MARKS[check.outcome]:<6}{check.seconds:>7.1f} s  {check.summary}"]
    if check.hint and check.outcome not in ("pass", "skip"):
        lines.append(f"{'':48}{check.hint}")
    return lines
