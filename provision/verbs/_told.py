"""A run's report, in the places where it is looked for: logs/, the generation, tasks/task-results/."""

from __future__ import annotations

import calendar
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from provision import terminal
from provision.doors import files
from provision.engine import launch_checks, steps_found, verified
from provision.engine.bring_up import BroughtUp
from provision.engine.conclude import conclude
from provision.engine.proof import Interpreter
from provision.engine.tried import Tried
from provision.engine.wanted import Wanted
from provision.errors import NotWritable
from provision.plan._model import Plan
from provision.report import as_task_result, as_text
from provision.report._model import Package, Report
from provision.steps import Lock
from provision.verbs import _formats, _given
from provision.verbs._wish import Wish
from provision.version import VERSION

_SHOWN = 16  # of a hash

Commands = Mapping[str, Sequence[str]]


class Stood(msgspec.Struct, frozen=True, kw_only=True):
    """An environment of ours as it was found."""

    generation: str
    plan: Plan
    lock: Lock


def report(wish: Wish, resolved: Wanted, came: BroughtUp, commands: Commands) -> Report:
    """Of a run that builds."""
    here = {} if wish.target else {"id": verified.host_id()}
    return Report(
        **_of_run(wish),
        verdict=came.verdict,
        exit_code=came.exit_code,
        host={"platform": resolved.plan.platform, **here, **_facts(came.facts)},
        plan=resolved.plan,
        generation=Path(came.generation).name,
        packages=_locked(resolved.lock),
        gpus=came.gpus,
        steps=came.steps,
        commands={step: tuple(run) for step, run in commands.items()},
        promised=came.promised,
        checks=came.tried.checks,
        owed=came.owed,
        figures=came.tried.figures,
    )


def of_checks(
    wish: Wish,
    tried: Tried,
    promised: tuple[str, ...],
    gpus: tuple[str, ...],
    facts: dict[str, Any],
    of: Interpreter | Stood,
) -> Report:
    """Of a run that only looks: at an environment of ours, or at a Python that nobody has planned."""
    concluded = conclude(tried, promised, gpus)
    if isinstance(of, Stood):
        told = {"platform": of.plan.platform}
        packages = _locked(of.lock)
    else:
        told = {"python": msgspec.to_builtins(of)}
        packages = {name: Package(version=version) for name, version in of.packages.items()}
    return Report(
        **_of_run(wish),
        verdict=concluded.verdict,
        exit_code=concluded.exit_code,
        host={**told, "id": verified.host_id(), **_facts(facts)},
        plan=of.plan if isinstance(of, Stood) else None,
        generation=of.generation if isinstance(of, Stood) else "",
        packages=packages,
        gpus=gpus,
        steps=(),
        promised=promised,
        checks=tried.checks,
        figures=tried.figures,
    )


def _of_run(wish: Wish) -> dict[str, Any]:
    began = calendar.timegm(time.strptime(wish.run[:16], "%Y%m%dT%H%M%SZ"))
    started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began))
    return {"run": wish.run, "started": started, "seconds": round(max(time.time() - began, 0), 1), "tool": VERSION}


def _facts(facts: dict[str, Any]) -> dict[str, Any]:
    return {"facts": facts} if facts else {}


def _locked(lock: Lock) -> dict[str, Package]:
    return {pin.name: Package(version=pin.version, sha256=pin.wheel.sha256[:_SHOWN]) for pin in lock.pins}


def document(told: Report) -> bytes:
    return msgspec.json.format(msgspec.json.encode(told), indent=1) + b"\n"


def everywhere(told: Report, wish: Wish) -> None:
    """report.json of the run, the newest verdict, a page for every step that was carried out, and the other formats.

    Where there is no room for them the run is what it was, and its end is told all the same.
    """
    try:
        _everywhere(told, wish)
        _in_other_formats(told, Path(wish.logs))
        files.write(Path(wish.logs).parent / _formats.METRICS, _formats.said(told, "prometheus"))
    except NotWritable as failure:
        terminal.note(f"this run's report is not whole: {str(failure).removeprefix('error: ')}")


def in_logs(told: Report, wish: Wish) -> None:
    """The report of one look at something that is not ours: no news of any environment of ours."""
    try:
        files.write(Path(wish.logs) / "report.json", document(told))
        _in_other_formats(told, Path(wish.logs))
    except NotWritable as failure:
        terminal.note(f"this run's report is not kept: {str(failure).removeprefix('error: ')}")


def _in_other_formats(told: Report, logs: Path) -> None:
    try:
        _formats.write_beside(told, logs)
    except NotWritable:
        raise
    except Exception as error:  # noqa: BLE001 - how a run is told must not be what it fails by
        terminal.note(f"this run's report could not be told in every format: {error!r}")


def _everywhere(told: Report, wish: Wish) -> None:
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
        page = as_task_result.text(step, result, proofs, told, wish.prefix)
        files.write(pages / f"{step.label}.md", page)
