"""One step's page for tasks/task-results/: what was asked, done and proved, in an order that diffs well."""

from __future__ import annotations

from collections.abc import Iterable

from provision.engine.events import StepResult
from provision.engine.tried import CheckResult
from provision.report._model import Report
from provision.steps import Step


def text(step: Step, result: StepResult, proofs: Iterable[CheckResult], report: Report, prefix: str) -> str:
    """The page of one step, in this prefix; `proofs` are the results of the checks that name it."""
    done = [f"    {command}" for command in report.commands.get(step.label, ())] or ["Nothing had to be run."]
    proved = [f"* {one.name}: {one.outcome}. {one.summary}" for one in proofs] or ["No check names this step."]
    lines = [
        f"# {step.number} {step.title}",
        "",
        f"Why: {step.why}.",
        "",
        f"* outcome: {result.outcome}, in {result.seconds:.1f} s",
        f"* run: {report.run}",
        f"* environment: {report.place(prefix)}",
        "",
        "## What was done",
        "",
        *done,
    ]
    if result.problem:
        lines += ["", "## What went wrong", "", *(f"    {line}" for line in result.problem.splitlines())]
    lines += ["", "## What proves it", "", *proved]
    return "\n".join(lines) + "\n"
