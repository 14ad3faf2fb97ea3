"""A report in one screen of plain text, whatever it holds: the verdict first, then what stands against it."""

from __future__ import annotations

import textwrap
from collections import Counter

from provision.engine.check_results import CheckResult
from provision.engine.events import StepResult
from provision.plan._model import Plan
from provision.report._model import Report
from provision.report.short import OUTCOMES, cut, first_line, printable

_FLASH_ATTN = "flash-attn"
_MARKS = {"fail": "FAIL", "error": "ERROR", "warn": "WARN", "skip": "skip", "pass": "pass"}
_FINE = ("pass", "skip")
_COLUMNS, _LINES, _AGAINST = 100, 40, 6


def text(report: Report, prefix: str = "") -> str:
    """What logs/summary.txt holds; all prefixes write that one file, so it names the prefix."""
    head = _head(report, report.place(prefix) if prefix else report.generation or "none")
    foot = _owed(report)
    room = _LINES - len(head) - len(foot)
    whole = [*_steps(report.steps), *_gap(report.steps), *_checks(report.checks)]
    return _page([*head, *(whole if len(whole) <= room else _worst(report, room)), *foot])


def brief(report: Report) -> str:
    """For who has seen each step and check go by: the verdict, and only what did not go well."""
    head, foot = _head(report, report.generation or "none"), _owed(report)
    return _page([*head, *_worst(report, _LINES - len(head) - len(foot), counted=False), *foot])


def _page(lines: list[str]) -> str:
    return "".join(f"{cut(printable(line), _COLUMNS).rstrip()}\n" for line in lines)


def _head(report: Report, environment: str) -> list[str]:
    doubt = textwrap.wrap(f"This report {report.doubt}", _COLUMNS, max_lines=4, placeholder=" ...")
    return [
        *(doubt if report.doubt else ()),
        f"{report.verdict.upper()} (exit code {report.exit_code}){f': {report.part}' if report.part else ''}",
        "",
        f"run          {report.run}, started {report.started}",
        f"environment  {environment}",
        *(_planned(report.plan) if report.plan else ()),
        *_against(report),
        "",
    ]


def _against(report: Report) -> list[str]:
    against = () if report.doubt else report.against
    shown = against if len(against) <= _AGAINST else against[: _AGAINST - 1]
    more = [f"and {len(against) - len(shown)} more"] if len(shown) < len(against) else []
    return [f"{'against it' if not at else '':<13}{first_line(one)}" for at, one in enumerate([*shown, *more])]


def _worst(report: Report, room: int, *, counted: bool = True) -> list[str]:
    """Only what is not fine, the worst first, and how many others there are."""
    steps = [step for step in report.steps if step.outcome == "failed"]
    checks = sorted(
        (one for one in report.checks if one.outcome not in _FINE), key=lambda one: OUTCOMES.index(one.outcome)
    )
    told = (
        [f"  {len(report.steps) - len(steps)} {'other steps' if steps else 'steps'} went well"]
        if counted and report.steps
        else []
    )
    lines = [*_steps(steps), *told, *_gap(steps or told)]
    last = len(checks)
    while last and len(lines) + len(_checks(checks[:last])) > room - 2:
        last -= 1
    more = Counter(one.outcome for one in checks[last:])
    others = Counter(one.outcome for one in report.checks if one.outcome in _FINE and counted)
    count = ", ".join(f"{n} {_MARKS[name]}" for name, n in [*more.items(), *others.items()])
    return [*lines, *_checks(checks[:last]), *([f"     others: {count}"] if count else [])]


def _gap(above: object) -> list[str]:
    return [""] if above else []


def _planned(plan: Plan) -> tuple[str, str]:
    packages = {name: one for name, one in plan.packages.items() if one and name != _FLASH_ATTN}
    chosen = ", ".join(f"{name} {one.version}" for name, one in packages.items())
    runs_on = f"CUDA {plan.cuda}" if plan.cuda else "CPU"
    return f"plan         {chosen}, Python {plan.python}, {runs_on}", f"flash-attn   {_flash_attn(plan)}"


def _flash_attn(plan: Plan) -> str:
    """What was decided, and the first reason; a build that is planned is none that is there."""
    package = plan.packages.get(_FLASH_ATTN)
    why = first_line(plan.flash_attn.why.partition(". ")[0])
    return f"{plan.flash_attn.mode}{f' {package.version}' if package else ''}: {why}"


def _steps(steps: list[StepResult] | tuple[StepResult, ...]) -> list[str]:
    return [
        f"  {step.number:>2} {step.name:<26}{step.outcome:<6}{step.seconds:>7.1f} s  {first_line(step.problem)}"
        for step in steps
    ]


def _checks(checks: list[CheckResult] | tuple[CheckResult, ...]) -> list[str]:
    lines = []
    for check in checks:
        mark, said = _MARKS[check.outcome], first_line(check.summary)
        lines.append(f"     {first_line(check.name):<26}{mark:<6}{check.seconds:>7.1f} s  {said}")
        if check.hint and check.outcome not in _FINE:
            lines.append(f"{'':9}{first_line(check.hint)}")
    return lines


def _owed(report: Report) -> list[str]:
    if not report.owed:
        return []
    owed = cut(f"owed     {', '.join(report.owed)}", _COLUMNS - 48)
    here = "everything that can be proved here passed, and this is current now"
    return ["", here, "", f"{owed}: only the host can try them that this was built for"]
