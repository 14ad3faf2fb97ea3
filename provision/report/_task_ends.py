"""How a task ended: in the run that a page is of, or in the one that came to it last."""

from __future__ import annotations

from typing import Final

from provision.engine.events import StepResult
from provision.report._model import Left, Report
from provision.report._task_proofs import stable
from provision.report.short import printable
from provision.tasks import Task

NOT_DONE: Final = "not done"
_ENDED: Final = {"failed": "FAILED", "interrupted": "interrupted"}


def result_of(task: Task, report: Report) -> StepResult | None:
    """How it ended; what a part of it failed in (61 and 62 belong to 60) it has failed in."""
    there = [one for one in report.steps if f"{one.number}-{one.name}" in labels(task, report)]
    failed = (one for one in there if one.outcome == "failed")
    return next(failed, next((one for one in there if one.number == task.number), None))


def outcome(task: Task, report: Report) -> str:
    """In words: of this run, or of the one in which it was done."""
    result = result_of(task, report)
    left = report.left.get(task.label)
    if result:
        return {"done": "done", "failed": "FAILED"}.get(result.outcome, "kept as it was")
    if not left or left.outcome == "done":
        return "done before, and stands" if left else NOT_DONE
    return f"{_ENDED[left.outcome]}{' in an earlier run' if left.run != report.run else ''}"


def unended(task: Task, report: Report) -> Left | None:
    """How it ended last, where that was before it had done what it is for, and this run has not tried again."""
    left = report.left.get(task.label)
    return left if left and left.outcome != "done" and not result_of(task, report) else None


def is_unfinished(task: Task, report: Report) -> bool:
    result = result_of(task, report)
    return bool(result.outcome == "failed" if result else unended(task, report))


def wrong(task: Task, report: Report) -> list[str]:
    """What kept it from its end."""
    result = result_of(task, report)
    if result and result.problem:
        return [f"    {printable(stable(line, report))}" for line in result.problem.splitlines()]
    left = unended(task, report)
    if not left:
        return []
    how = "failed" if left.outcome == "failed" else "was interrupted"
    return [f"It {how} in the run that has its log: {stable(f'`logs/{left.run}/{task.label}.log`', report)}."]


def labels(task: Task, report: Report) -> list[str]:
    """Its own, and of a step those of its parts."""
    parts = {f"{one.number}-{one.name}" for one in report.steps} | report.commands.keys()
    tens = {
        one
        for one in parts
        if task.is_step and one[:1] == task.label[:1] and one[1:2] in "12" and task.number % 10 == 0
    }
    return [task.label, *sorted(tens - {task.label})]
