"""The checks on a task's page: outcomes, measurements, and checks that were not tried."""

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

_MOST = 30  # lines of a summary or of evidence
_OUTCOMES = {
    "fail": "FAILED",
    "error": "undecided",
    "skip": "skipped",
    "warn": "warned",
    "pass": "passed",
    "not tried": "not tried",
}


def proofs_of(task: Task, report: Report) -> list[CheckResult]:
    """Return the checks of the report that prove the task."""
    if task.is_step:
        return [check for check in report.checks if check.step == task.number]
    return [check for check in report.checks if check.name in task.checks]


def untried(
    task: Task, proofs: Sequence[CheckResult], proving: Mapping[str, Sequence[str]]
) -> list[str]:
    """Return the names of checks that prove the task but were not tried."""
    tried = {check.name for check in proofs}
    return [name for name in proving.get(task.label, ()) if name not in tried]


def stable(text: str, report: Report) -> str:
    """Return the text with $ENV, $PREFIX and $RUN for what changes with every run.

    Pages are compared from run to run; the last section says what these stand for.
    """
    prefix = str(report.settings.get("prefix", ""))
    if prefix and report.generation:
        text = text.replace(f"{prefix}/{report.generation}", "$ENV")
    if prefix:
        text = text.replace(prefix, "$PREFIX")
    return text.replace(report.run, "$RUN")


def stable_line(text: str, report: Report) -> str:
    """Return the same as one escaped line of Markdown."""
    return plain(stable(text, report))


def counts(proofs: Sequence[CheckResult], missing: Sequence[str]) -> str:
    """Return the number of checks by outcome."""
    outcomes: Counter[str] = Counter(check.outcome for check in proofs)
    outcomes["not tried"] = len(missing)
    texts = (f"{outcomes[name]} {word}" for name, word in _OUTCOMES.items() if outcomes[name])
    return ", ".join(texts) or "none"


def proof(check: CheckResult, report: Report) -> str:
    """Return the line of a check: name, outcome, claim, summary."""
    proves = f" Proves: {plain(check.proves.rstrip('.'))}." if check.proves else ""
    summary = stable_line(first_line(check.summary), report)
    return f"* **{plain(check.name)}: {check.outcome}.**{proves} {summary}".rstrip()


def not_tried(names: Sequence[str], report: Report) -> str:
    """Return the line about checks that were not tried, and which of them the plan promises."""
    promised = sorted({*names} & {*(report.plan.checks if report.plan else ())})
    which = (
        f"the plan promises {', '.join(promised)}"
        if promised
        else "the plan of this host promises none of them"
    )
    return plain(f"Not tried: {', '.join(names)} ({which}).")


def details(check: CheckResult, report: Report) -> list[str]:
    """Return the lines about a check that did not pass: summary, hint, evidence."""
    hint = f" ({plain(check.hint)})" if check.hint else ""
    evidence = ""
    if check.evidence:
        evidence = json.dumps(check.evidence, indent=1, sort_keys=True, ensure_ascii=False)
    rest = check.summary.strip().partition("\n")[2]
    texts = [stable(text, report).splitlines() for text in (rest, evidence)]
    lines = [line for text in texts for line in _cut(text)]
    # Code in a list needs a blank line and six blanks before it; otherwise it is read as markup.
    code = ["", *(f"      {printable(line)}".rstrip() for line in lines)] if lines else []
    return [f"* {plain(check.name)}: {stable_line(first_line(check.summary), report)}{hint}", *code]


def _cut(lines: list[str]) -> list[str]:
    if len(lines) <= _MOST:
        return lines
    return [*lines[:_MOST], f"and {len(lines) - _MOST} more lines in report.json"]


def figures(proofs: Sequence[CheckResult], report: Report) -> list[Figure]:
    """Return the figures that these checks measured."""
    names = {check.name for check in proofs}
    return [figure for figure in report.figures if figure.check in names]


def figure_line(figure: Figure) -> str:
    """Return the line of a figure: subject, value, spread, method."""
    of = f" ({plain(short.of(figure))})" if figure.of else ""
    spread = short.spread(figure)
    more = f", spread {spread} over {figure.repeats} repeats" if spread else ""
    method = f"; {plain(figure.method)}" if figure.method else ""
    value = plain(short.with_unit(figure))
    return f"* {plain(figure.check)}: {plain(figure.name)}{of}: {value}{more}{method}"
