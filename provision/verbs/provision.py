"""`provision`: run the numbered steps: all, one, from one on, or show what they would do."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from provision.display import terminal
from provision.engine import needs, preview
from provision.engine.preview import PlannedStep
from provision.engine.resolution_cache import Resolution
from provision.errors import DONE
from provision.plan._model import Unsupported
from provision.session import confirm, pipeline, request, resolve, run_tasks
from provision.session._model import Session
from provision.steps.model import Action, Fetch, Run, Write


def run(options: argparse.Namespace) -> int:
    session = run_tasks.with_tasks(request.new_session(options))
    if options.dry_run:
        return _dry_run(session)
    with request.locked(session, "provision") as session:
        resolution = confirm.confirmed(session)
        if isinstance(resolution, int):
            return resolution
        return pipeline.bring_up(session, resolution)


def _dry_run(session: Session) -> int:
    resolution, _ = resolve.resolved(session)
    if isinstance(resolution, Unsupported):
        return confirm.no_plan(resolution, session.options)
    generation, steps = _preview(session, resolution)
    if session.options.json:
        terminal.document({"generation": generation, "steps": steps})
        return DONE
    is_new = "" if Path(generation).exists() else ", which would be new"
    terminal.line(f"in {generation}{is_new}")
    for step in steps:
        terminal.line(f"{step.step}: {step.outcome}")
        for action in step.actions:
            terminal.line(f"    {_line(action)}")
    return DONE


def _preview(session: Session, resolution: Resolution) -> tuple[str, list[PlannedStep]]:
    """Return the environment, the steps, and then the tasks. A named task needs no step."""
    # A named task runs in the environment in use, which no step changes.
    if run_tasks.names_task(session):
        generation = run_tasks.base(session, resolution).generation
        return generation, run_tasks.preview(session, generation)
    generation, steps = preview.preview(
        resolution, request.site(session, resolution), only=session.only, start=session.start
    )
    if session.only is None:
        steps = [*steps, *run_tasks.preview(session, generation)]
    return generation, steps


def _line(action: Action) -> str:
    if isinstance(action, Run):
        return shlex.join(action.argv)
    if isinstance(action, Fetch):
        return f"{action.title} into {action.folder}"
    if isinstance(action, Write):
        return f"write {action.path} ({action.title})"
    measured = needs.measure(action)
    outcome = "" if measured.met else ", WHICH IS NOT MET"
    return f"need {action.title}: {measured.text}{outcome}"
