"""The outcome of a task, in this run or an earlier one, and the checks that prove it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from provision.events import StepResult
from provision.report import short
from provision.report._markup import plain
from provision.report._model import Left, Report
from provision.report.short import first_line, printable
from provision.results import CheckResult, Figure
from provision.tasks import Task

NOT_DONE: Final = "not done"
_ENDS: Final = {"done": "done", "failed": "FAILED", "interrupted": "interrupted"}
_FEW = 3  # names in a line
_MOST = 30  # lines of a summary or of evidence
_OUTCOMES = {
    "fail": "FAILED",
    "error": "undecided",
    "skip": "skipped",
    "warn": "warned",
    "pass": "passed",
    "not tried": "not tried",
}


def result_of(task: Task, report: Report) -> StepResult | None:
    """Return the task's result in this run; a failed part (61 and 62 belong to 60) fails it."""
    own = labels(task, report)
    results = [step for step in report.steps if f"{step.number}-{step.name}" in own]
    failed = [step for step in results if step.outcome == "failed"]
    same = [step for step in results if step.number == task.number]
    return next(iter([*failed, *same]), None)


def outcome(task: Task, report: Report) -> str:
    """Return the outcome in words, of this run or of the one that did the task."""
    result = result_of(task, report)
    left = report.left.get(task.label)
    if result:
        return _ENDS.get(result.outcome, "kept from an earlier run")
    if not left:
        return NOT_DONE
    if left.outcome == "done":
        return "done in an earlier run, still in place"
    return f"{_ENDS[left.outcome]}{' in an earlier run' if left.run != report.run else ''}"


def unfinished_attempt(task: Task, report: Report) -> Left | None:
    """Return the last attempt where it did not finish and this run did not retry it."""
    left = report.left.get(task.label)
    return left if left and left.outcome != "done" and not result_of(task, report) else None


def is_unfinished(task: Task, report: Report) -> bool:
    """Return whether the last attempt failed or was interrupted."""
    result = result_of(task, report)
    return bool(result.outcome == "failed" if result else unfinished_attempt(task, report))


def problem(task: Task, report: Report) -> list[str]:
    result = result_of(task, report)
    if result and result.problem:
        return [f"    {printable(stable(line, report))}" for line in result.problem.splitlines()]
    left = unfinished_attempt(task, report)
    if not left:
        return []
    how = "failed" if left.outcome == "failed" else "was interrupted"
    log = stable(f"`logs/{left.run}/{task.label}.log`", report)
    return [f"It {how}; its log is {log}."]


def labels(task: Task, report: Report) -> list[str]:
    """Return the task's own label and, for a step, those of its parts."""
    known = {f"{step.number}-{step.name}" for step in report.steps} | report.commands.keys()
    parts = {
        label
        for label in known
        if task.is_step
        and label[:1] == task.label[:1]
        # 61 and 62 are parts of step 60, 65 is a task of the user.
        and label[1:2] in "12"
        and task.number % 10 == 0
    }
    return [task.label, *sorted(parts - {task.label})]


def headline(task: Task, report: Report) -> str:
    """Return the outcome and the failed checks; a failure contradicts "still in place"."""
    failed = [check.name for check in proofs_of(task, report) if check.outcome == "fail"]
    text = outcome(task, report)
    if not failed:
        return text
    return f"{text.partition(',')[0]}; checks FAILED: {plain(', '.join(failed))}"


def proofs_of(task: Task, report: Report) -> list[CheckResult]:
    if task.is_step:
        return [check for check in report.checks if check.step == task.number]
    own = next((ended.checks for ended in report.tasks if ended.name == task.label), ())
    return [*own] or [check for check in report.checks if check.name in task.checks]


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
    outcomes: Counter[str] = Counter(check.outcome for check in proofs)
    outcomes["not tried"] = len(missing)
    return (
        ", ".join(f"{outcomes[name]} {word}" for name, word in _OUTCOMES.items() if outcomes[name])
        or "none"
    )


def proof(check: CheckResult, report: Report) -> str:
    """Return the line of a check: name, outcome, claim, summary."""
    proves = f" Proves: {plain(check.proves.rstrip('.'))}." if check.proves else ""
    summary = stable_line(first_line(check.summary), report)
    return f"* **{plain(check.name)}: {check.outcome}.**{proves} {summary}".rstrip()


def not_tried(names: Sequence[str], report: Report) -> str:
    """Return the line about checks that were not tried; of many unpromised ones only the number."""
    promised = sorted({*names} & {*(report.plan.checks if report.plan else ())})
    others = sorted({*names} - {*promised})
    which = [f"{', '.join(promised)} (the plan promises it)"] if promised else []
    if others:
        shown = ", ".join(others) if len(others) <= _FEW else f"{len(others)} others"
        which.append(f"{shown} (the plan of this host does not promise it)")
    return plain(f"Not tried: {'; '.join(which)}.")


def details(check: CheckResult, report: Report) -> list[str]:
    """Return the lines about a check that did not pass: summary, hint, evidence."""
    hint = f" ({plain(check.hint)})" if check.hint else ""
    evidence = (
        json.dumps(check.evidence, indent=1, sort_keys=True, ensure_ascii=False)
        if check.evidence
        else ""
    )
    rest = check.summary.strip().partition("\n")[2]
    log = f"log: {check.log}" if check.log else ""
    texts = (rest, *check.lines, log, evidence)
    lines = [line for text in texts for line in _cut(stable(text, report).splitlines())]
    # Code in a list needs a blank line and six blanks before it; otherwise it is read as markup.
    code = ["", *(f"      {printable(line)}".rstrip() for line in lines)] if lines else []
    return [f"* {plain(check.name)}: {stable_line(first_line(check.summary), report)}{hint}", *code]


def _cut(lines: list[str]) -> list[str]:
    if len(lines) <= _MOST:
        return lines
    return [*lines[:_MOST], f"and {len(lines) - _MOST} more lines in report.json"]


def figures(proofs: Sequence[CheckResult], report: Report) -> list[Figure]:
    names = {check.name for check in proofs}
    of_tasks = (figure for task in report.tasks for figure in task.figures)
    return [figure for figure in (*report.figures, *of_tasks) if figure.check in names]


def figure_line(figure: Figure) -> str:
    """Return the line of a figure: subject, value, spread, method."""
    of = f" ({plain(short.of(figure))})" if figure.of else ""
    spread = short.spread(figure)
    more = f", spread {spread} over {figure.repeats} repeats" if spread else ""
    method = f"; {plain(figure.method)}" if figure.method else ""
    value = plain(short.with_unit(figure))
    return f"* {plain(figure.check)}: {plain(figure.name)}{of}: {value}{more}{method}"
