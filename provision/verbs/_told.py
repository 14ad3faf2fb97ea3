"""A run's report, in the places where it is looked for: logs/, the generation, tasks/task-results/."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec

from provision import terminal
from provision.doors import files
from provision.engine import launch_checks, steps_found
from provision.engine.bring_up import BroughtUp
from provision.engine.proof import Interpreter
from provision.errors import NotWritable
from provision.plan._model import Plan
from provision.report import as_task_result, as_text
from provision.report._model import Report
from provision.verbs import _given
from provision.verbs._wish import Wish


def report(wish: Wish, plan: Plan | None, came: BroughtUp, python: Interpreter | None = None) -> Report:
    """`python` is what was tried where nobody has planned it."""
    host: dict[str, Any] = {"platform": plan.platform} if plan else {"python": msgspec.to_builtins(python)}
    return Report(
        run=wish.run,
        started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.strptime(wish.run[:16], "%Y%m%dT%H%M%SZ")),
        verdict=came.verdict,
        exit_code=came.exit_code,
        host=host | ({"facts": came.facts} if came.facts else {}),
        plan=plan,
        generation=Path(came.generation).name,
        steps=came.steps,
        checks=came.checks,
        owed=came.owed,
    )


def document(told: Report) -> bytes:
    return msgspec.json.format(msgspec.json.encode(told), indent=1) + b"\n"


def everywhere(told: Report, wish: Wish, commands: dict[str, list[str]]) -> None:
    """report.json of the run, the newest verdict, and a page for every step that was carried out.

    Where there is no room for them the run is what it was, and its end is told all the same.
    """
    try:
        _everywhere(told, wish, commands)
    except NotWritable as failure:
        terminal.note(f"this run's report is not whole: {str(failure).removeprefix('error: ')}")


def in_logs(told: Report, wish: Wish) -> None:
    """The report of one look at something that is not ours: no news of any environment of ours."""
    try:
        files.write(Path(wish.logs) / "report.json", document(told))
    except NotWritable as failure:
        terminal.note(f"this run's report is not kept: {str(failure).removeprefix('error: ')}")


def _everywhere(told: Report, wish: Wish, commands: dict[str, list[str]]) -> None:
    logs = Path(wish.logs)
    files.write(logs / "report.json", document(told))
    files.write(logs.parent / "summary.txt", as_text.text(told, wish.prefix))
    proves = {check.name: check.step for check in launch_checks.discover()}
    pages = Path(_given.checkout()) / "tasks" / "task-results"
    steps = {step.number: step for step in steps_found.discover()}
    for result in told.steps:
        step = steps.get(result.number)
        if step is None or result.outcome == "kept":
            continue
        proofs = [check for check in told.checks if proves.get(check.name) == step.number]
        page = as_task_result.text(step, result, commands.get(step.label, []), proofs, told, wish.prefix)
        files.write(pages / f"{step.label}.md", page)
