"""What a page of a task says of its checks: how each ended, what it measured, what nobody tried."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence

from provision.engine.tried import CheckResult, Figure
from provision.report import short
from provision.report._model import Report
from provision.report.short import first_line
from provision.tasks import Task

_MOST = 30  # lines of what a check has seen
_ENDED = {
    "fail": "FAILED",
    "error": "undecided",
    "skip": "skipped",
    "warn": "warned",
    "pass": "passed",
    "not tried": "not tried",
}


def proofs_of(task: Task, report: Report) -> list[CheckResult]:
    if task.is_step:
        return [one for one in report.checks if one.step == task.number]
    return [one for one in report.checks if one.name in task.checks]


def untried(task: Task, proofs: Sequence[CheckResult], proving: Mapping[str, Sequence[str]]) -> list[str]:
    tried = {one.name for one in proofs}
    return [name for name in proving.get(task.label, ()) if name not in tried]


def stable(text: str, report: Report) -> str:
    """What changes with every run has one place; `$ENV` and `$PREFIX` are said there."""
    prefix = str(report.settings.get("prefix", ""))
    places = {f"{prefix}/{report.generation}": "$ENV"} if report.generation and prefix else {}
    for old, new in ({**places, prefix: "$PREFIX"} if prefix else {}).items():
        text = text.replace(old, new)
    return text.replace(report.run, "$RUN")


def counted(proofs: Sequence[CheckResult], missing: Sequence[str]) -> str:
    """How they ended, in a few words."""
    ended = Counter([*(one.outcome for one in proofs), *("not tried" for _ in missing)])
    return ", ".join(f"{ended[how]} {said}" for how, said in _ENDED.items() if ended[how]) or "there is none"


def proof(one: CheckResult, report: Report) -> str:
    proves = f" Proves: {one.proves.rstrip('.')}." if one.proves else ""
    return f"* **{one.name}: {one.outcome}.**{proves} {stable(first_line(one.summary), report)}".rstrip()


def not_tried(names: Sequence[str], report: Report) -> str:
    promised = sorted({*names} & {*(report.plan.checks if report.plan else ())})
    which = f"promised of these: {', '.join(promised)}" if promised else "the plan of this host promises none of these"
    return f"Not tried: {', '.join(names)} ({which})."


def seen(one: CheckResult, report: Report) -> list[str]:
    """What a check that did not go well has found."""
    hint = f" ({' '.join(one.hint.split())})" if one.hint else ""
    evidence = json.dumps(one.evidence, indent=1, sort_keys=True, ensure_ascii=False)
    rest = one.summary.strip().partition("\n")[2]
    more = (stable(said, report).splitlines() for said in (rest, evidence))
    return [
        f"* {one.name}: {stable(first_line(one.summary), report)}{hint}",
        *(f"    {line}" for lines in more for line in _short(lines)),
    ]


def _short(lines: list[str]) -> list[str]:
    return lines if len(lines) <= _MOST else [*lines[:_MOST], f"and {len(lines) - _MOST} lines more, in report.json"]


def figures(proofs: Sequence[CheckResult], report: Report) -> list[Figure]:
    names = {one.name for one in proofs}
    return [one for one in report.figures if one.check in names]


def figure(one: Figure) -> str:
    of = f" ({short.of(one)})" if one.of else ""
    more = f", spread {short.spread(one)} over {one.repeats} repeats" if short.spread(one) else ""
    return f"* {one.check}: {one.name}{of}: {short.with_unit(one)}{more}{f'; {one.method}' if one.method else ''}"
