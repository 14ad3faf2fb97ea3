"""One step's page for tasks/task-results/: what was asked, done and proved, in an order that diffs well."""

from __future__ import annotations

from provision.report._model import CheckResult, Report, StepResult


def text(step: StepResult, why: str, proofs: tuple[CheckResult, ...], report: Report) -> str:
    """The page of one step; `proofs` are the results of the checks that name it."""
    lines = [f"# {step.number} {step.title}", "", why, "", f"* outcome: {step.outcome} in {step.seconds:.1f} s"]
    lines += [f"* run: {report.run}", f"* environment: {report.generation or 'none'}", "", "## What was done", ""]
    lines += [f"    {command}" for command in step.commands] or [
        "Nothing: it was there already, or nothing is planned."
    ]
    if step.problem:
        lines += ["", "## What went wrong", "", *(f"    {line}" for line in step.problem.splitlines())]
    lines += ["", "## What proves it", ""]
    lines += [f"* {one.name}: {one.outcome}. {one.summary}" for one in proofs] or ["No check names this step yet."]
    return "\n".join(lines) + "\n"
