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
    body = [*_steps(report.steps), *_gap(report.steps), *_checks(report.checks, _COLUMNS)]
    shown = body if len(body) <= room else _worst(report, room, _COLUMNS)
    return _page([*head, *shown, *foot], _COLUMNS)


def brief(report: Report, columns: int = _COLUMNS) -> str:
    """Return the verdict and the problems, for a reader who watched the run."""
    columns = min(columns, _COLUMNS)
    head, foot = _head(report, report.generation or "none", columns), _owed(report)
    room = _LINES - len(head) - len(foot)
    return _page([*head, *_worst(report, room, columns, counted=False), *foot], columns)


def failures(report: Report, columns: int) -> str:
    """Return all that is known of the checks that failed or could not decide."""
    bad = [check for check in report.checks if check.outcome in ("fail", "error")]
    return _page(_checks(bad, min(columns, _COLUMNS)), columns)


def _page(lines: list[str], columns: int) -> str:
    return "".join(f"{cut(printable(line), columns).rstrip()}\n" for line in lines)


def _head(report: Report, environment: str, columns: int = _COLUMNS) -> list[str]:
    doubt = f"This report {report.doubt}" if report.doubt else ""
    part = f": {report.part}" if report.part else ""
    return [
        # A doubt lists every problem; more than four lines would push the rest off the screen.
        *textwrap.wrap(doubt, columns, max_lines=4, placeholder=" ..."),
        f"{report.headline.upper()} (exit code {report.exit_code}){part}",
        "",
        f"run          {report.run}, started {report.started}",
        f"environment  {environment}",
        *(_planned(report.plan) if report.plan else ()),
        *_problems(report, columns),
        *_wrapped_untried(report, columns),
        "",
    ]


def _wrapped_untried(report: Report, columns: int) -> list[str]:
    lines = _wrapped(report.untried, columns, 13) if report.untried else []
    return [f"untried{line[7:]}" for line in lines[:1]] + lines[1:]


def _problems(report: Report, columns: int) -> list[str]:
    problems = () if report.doubt else report.problems  # the doubt names them already
    shown = problems if len(problems) <= _PROBLEMS else problems[: _PROBLEMS - 1]
    more = [f"and {len(problems) - len(shown)} more"] if len(shown) < len(problems) else []
    lines = [line for text in (*shown, *more) for line in _wrapped(first_line(text), columns, 13)]
    return [f"problems{line[8:]}" for line in lines[:1]] + lines[1:]


def _worst(report: Report, room: int, columns: int, *, counted: bool = True) -> list[str]:
    failed = [step for step in report.steps if step.outcome == "failed"]
    others = len(report.steps) - len(failed)
    done = f"  {others} {'other steps' if failed else 'steps'} succeeded"
    steps = [*_steps(failed), *([done] if counted and report.steps else [])]
    bad = [check for check in report.checks if check.outcome not in _FINE]
    bad.sort(key=lambda check: OUTCOMES.index(check.outcome))
    lines = [*steps, *_gap(steps)]
    last = len(bad)
    # Two lines are kept for the count of the other checks.
    while last and len(lines) + len(_checks(bad[:last], columns)) > room - 2:
        last -= 1
    more = Counter(check.outcome for check in bad[last:])
    fine = Counter(check.outcome for check in report.checks if check.outcome in _FINE and counted)
    counts = ", ".join(f"{n} {_MARKS[name]}" for name, n in [*more.items(), *fine.items()])
    return [
        *lines,
        *_checks(bad[:last], columns),
        *([f"     other checks: {counts}"] if counts else []),
    ]


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


def _checks(checks: Sequence[CheckResult], columns: int) -> list[str]:
    """Return a line for each check that is fine; all that is known of each that is not."""
    lines = []
    for check in checks:
        name, mark = first_line(check.name), _MARKS[check.outcome]
        head = f"     {name:<26}{mark:<6}{check.seconds:>7.1f} s  "
        summary = first_line(check.summary)
        if check.outcome in _FINE:
            lines.append(f"{head}{summary}")
            continue
        lines += [head.rstrip(), *_wrapped(summary, columns)]
        lines += [f"{'':9}| {first_line(line)}" for line in check.lines]
        lines += _wrapped(first_line(check.hint), columns)
        lines += [f"{'':9}log: {check.log}"] if check.log else []
    return lines


def _wrapped(text: str, columns: int, indent: int = 9) -> list[str]:
    """Wrap a text by words."""
    blanks = " " * indent
    return textwrap.wrap(
        text, columns, initial_indent=blanks, subsequent_indent=blanks, break_on_hyphens=False
    )


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
