"""What a page of a task says of its checks: how each ended, what it measured, what nobody tried."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence

from provision.engine.check_results import CheckResult, Figure
from provision.report import short
from provision.report._markup import plain
from provision.report._model import Report
from provision.report.short import first_line, printable
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


def said(text: str, report: Report) -> str:
    """The same, where a line of Markdown has it."""
    return plain(stable(text, report))


def counted(proofs: Sequence[CheckResult], missing: Sequence[str]) -> str:
    """How they ended, in a few words."""
    ended = Counter([*(one.outcome for one in proofs), *("not tried" for _ in missing)])
    return ", ".join(f"{ended[how]} {word}" for how, word in _ENDED.items() if ended[how]) or "there is none"


def proof(one: CheckResult, report: Report) -> str:
    proves = f" Proves: {plain(one.proves.rstrip('.'))}." if one.proves else ""
    return f"* **{plain(one.name)}: {one.outcome}.**{proves} {said(first_line(one.summary), report)}".rstrip()


def not_tried(names: Sequence[str], report: Report) -> str:
    promised = sorted({*names} & {*(report.plan.checks if report.plan else ())})
    which = f"promised of these: {', '.join(promised)}" if promised else "the plan of this host promises none of these"
    return plain(f"Not tried: {', '.join(names)} ({which}).")


def seen(one: CheckResult, report: Report) -> list[str]:
    """What a check that did not go well has found."""
    hint = f" ({plain(one.hint)})" if one.hint else ""
    evidence = json.dumps(one.evidence, indent=1, sort_keys=True, ensure_ascii=False) if one.evidence else ""
    rest = one.summary.strip().partition("\n")[2]
    found = [line for text in (rest, evidence) for line in _short(stable(text, report).splitlines())]
    # Behind a blank line, and as far in as a list's code has to be: else it would be prose, and taken for markup.
    code = ["", *(f"      {printable(line)}".rstrip() for line in found)] if found else []
    return [f"* {plain(one.name)}: {said(first_line(one.summary), report)}{hint}", *code]


def _short(lines: list[str]) -> list[str]:
    return lines if len(lines) <= _MOST else [*lines[:_MOST], f"and {len(lines) - _MOST} lines more, in report.json"]


def figures(proofs: Sequence[CheckResult], report: Report) -> list[Figure]:
    names = {one.name for one in proofs}
    return [one for one in report.figures if one.check in names]


def figure(one: Figure) -> str:
    of = f" ({plain(short.of(one))})" if one.of else ""
    more = f", spread {short.spread(one)} over {one.repeats} repeats" if short.spread(one) else ""
    method = f"; {plain(one.method)}" if one.method else ""
    return f"* {plain(one.check)}: {plain(one.name)}{of}: {plain(short.with_unit(one))}{more}{method}"
