"""A report in one screen of plain text: the verdict first, then the problems."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence

from provision.events import StepResult
from provision.plan._model import Plan
from provision.report._model import Report
from provision.report.short import OUTCOMES, cut, first_line, printable
from provision.results import CheckResult

_FLASH_ATTN = "flash-attn"
_MARKS = {"fail": "FAIL", "error": "ERROR", "warn": "WARN", "skip": "skip", "pass": "pass"}
_FINE = ("pass", "skip")
# One screen of an ordinary terminal.
_COLUMNS, _LINES, _PROBLEMS = 100, 40, 6


def text(report: Report, prefix: str = "") -> str:
    """Return the content of logs/summary.txt; all prefixes share that file, so it names its own."""
    environment = report.generation or "none"
    if prefix:
        environment = f"{prefix}/{environment}" if report.generation else f"none in {prefix}"
    head = _head(report, environment)
    foot = _owed(report)
    room = _LINES - len(head) - len(foot)
    body = [*_steps(report.steps), *_gap(report.steps), *_checks(report.checks)]
    return _page([*head, *(body if len(body) <= room else _worst(report, room)), *foot])


def brief(report: Report) -> str:
    """Return the verdict and the problems, for a reader who watched the run."""
    head, foot = _head(report, report.generation or "none"), _owed(report)
    return _page([*head, *_worst(report, _LINES - len(head) - len(foot), counted=False), *foot])


def _page(lines: list[str]) -> str:
    return "".join(f"{cut(printable(line), _COLUMNS).rstrip()}\n" for line in lines)


def _head(report: Report, environment: str) -> list[str]:
    doubt = f"This report {report.doubt}" if report.doubt else ""
    part = f": {report.part}" if report.part else ""
    return [
        # A doubt lists every problem; more than four lines would push the rest off the screen.
        *textwrap.wrap(doubt, _COLUMNS, max_lines=4, placeholder=" ..."),
        f"{report.headline.upper()} (exit code {report.exit_code}){part}",
        "",
        f"run          {report.run}, started {report.started}",
        f"environment  {environment}",
        *(_planned(report.plan) if report.plan else ()),
        *_problems(report),
        "",
    ]


def _problems(report: Report) -> list[str]:
    problems = () if report.doubt else report.problems  # the doubt names them already
    shown = problems if len(problems) <= _PROBLEMS else problems[: _PROBLEMS - 1]
    more = [f"and {len(problems) - len(shown)} more"] if len(shown) < len(problems) else []
    return [
        f"{label:<13}{first_line(line)}"
        for label, line in zip(["problems", *[""] * len(problems)], [*shown, *more], strict=False)
    ]


def _worst(report: Report, room: int, *, counted: bool = True) -> list[str]:
    failed = [step for step in report.steps if step.outcome == "failed"]
    others = len(report.steps) - len(failed)
    done = f"  {others} {'other steps' if failed else 'steps'} succeeded"
    steps = [*_steps(failed), *([done] if counted and report.steps else [])]
    bad = [check for check in report.checks if check.outcome not in _FINE]
    bad.sort(key=lambda check: OUTCOMES.index(check.outcome))
    lines = [*steps, *_gap(steps)]
    last = len(bad)
    # Two lines are kept for the count of the other checks.
    while last and len(lines) + len(_checks(bad[:last])) > room - 2:
        last -= 1
    more = Counter(check.outcome for check in bad[last:])
    fine = Counter(check.outcome for check in report.checks if check.outcome in _FINE and counted)
    counts = ", ".join(f"{n} {_MARKS[name]}" for name, n in [*more.items(), *fine.items()])
    return [*lines, *_checks(bad[:last]), *([f"     other checks: {counts}"] if counts else [])]


def _gap(above: Sequence[object]) -> list[str]:
    return [""] if above else []


def _planned(plan: Plan) -> tuple[str, str]:
    versions = ", ".join(
        f"{name} {package.version}"
        for name, package in plan.packages.items()
        if package and name != _FLASH_ATTN
    )
    runs_on = f"CUDA {plan.cuda}" if plan.cuda else "CPU"
    return (
        f"plan         {versions}, Python {plan.python}, {runs_on}",
        f"flash-attn   {_flash_attn(plan)}",
    )


def _flash_attn(plan: Plan) -> str:
    package = plan.packages.get(_FLASH_ATTN)
    version = f" {package.version}" if package else ""
    return f"{plan.flash_attn.mode}{version}: {first_line(plan.flash_attn.why.partition('. ')[0])}"


def _steps(steps: Sequence[StepResult]) -> list[str]:
    return [
        f"  {step.number:>2} {step.name:<26}{step.outcome:<6}{step.seconds:>7.1f} s  "
        f"{first_line(step.problem)}"
        for step in steps
    ]


def _checks(checks: Sequence[CheckResult]) -> list[str]:
    lines = []
    for check in checks:
        name, mark = first_line(check.name), _MARKS[check.outcome]
        summary = first_line(check.summary)
        lines.append(f"     {name:<26}{mark:<6}{check.seconds:>7.1f} s  {summary}")
        if check.hint and check.outcome not in _FINE:
            lines.append(f"{'':9}{first_line(check.hint)}")
    return lines


def _owed(report: Report) -> list[str]:
    if not report.owed:
        return []
    # The rest of the line takes at most 48 columns.
    names = cut(f"owed     {', '.join(report.owed)}", _COLUMNS - 48)
    return [
        "",
        "every check that can run here passed; this environment is now current",
        "",
        f"{names}: to be proved on the target host",
    ]
