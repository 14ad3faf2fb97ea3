"""The outcome of a task: in the run of the page, or in the last run that tried it."""

from __future__ import annotations

from typing import Final

from provision.engine.events import StepResult
from provision.report._markup import plain
from provision.report._model import Left, Report
from provision.report._task_proofs import proofs_of, stable
from provision.report.short import printable
from provision.tasks import Task

NOT_DONE: Final = "not done"
_OUTCOMES: Final = {"done": "done", "failed": "FAILED", "interrupted": "interrupted"}


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
        return _OUTCOMES.get(result.outcome, "kept from an earlier run")
    if not left:
        return NOT_DONE
    if left.outcome == "done":
        return "done in an earlier run, still in place"
    return f"{_OUTCOMES[left.outcome]}{' in an earlier run' if left.run != report.run else ''}"


def unfinished_attempt(task: Task, report: Report) -> Left | None:
    """Return the last attempt where it did not finish and this run did not retry it."""
    left = report.left.get(task.label)
    return left if left and left.outcome != "done" and not result_of(task, report) else None


def is_unfinished(task: Task, report: Report) -> bool:
    """Return whether the last attempt failed or was interrupted."""
    result = result_of(task, report)
    return bool(result.outcome == "failed" if result else unfinished_attempt(task, report))


def problem(task: Task, report: Report) -> list[str]:
    """Return the lines about why the task did not finish."""
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
