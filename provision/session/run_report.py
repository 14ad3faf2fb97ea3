"""The report of a run: of one that builds, of one that only checks, of one that found no plan."""

from __future__ import annotations

import calendar
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from provision.doors import files
from provision.engine import bring_up, discover_steps, environments, user_tasks, verified
from provision.engine.conclude import conclude
from provision.engine.journal import Journal
from provision.engine.promised_checks import Interpreter
from provision.errors import UNSUPPORTED, UnreadableInput
from provision.host import record
from provision.plan import serve
from provision.plan._model import Plan, Unsupported
from provision.report import share
from provision.report._model import Left, Package, Report
from provision.results import CheckResults
from provision.session._model import Outcome, Session
from provision.steps.model import Lock, Site, Step, Write
from provision.version import VERSION

_SHOWN: Final = 16  # digits of a hash


class Installed(msgspec.Struct, frozen=True, kw_only=True):
    """One of our environments, with the plan and the lock that lie inside it."""

    generation: str
    plan: Plan
    lock: Lock


def report(session: Session, outcome: Outcome) -> Report:
    plan, lock = outcome.resolution.plan, outcome.resolution.lock
    # The id says which host verified an environment: this one does not for another host.
    host = {} if session.target else {"id": verified.host_id()}
    before, left = _from_journal(session, plan, lock, outcome.generation)
    # A run that did nothing has no commands and notes of its own.
    listener = session.listener
    commands = {} if outcome.nothing_to_do else listener.commands
    notes = {} if outcome.nothing_to_do else listener.notes
    return share.scrubbed_for_logs(
        Report(
            **_of_run(session),
            verdict=outcome.verdict,
            exit_code=outcome.exit_code,
            host={"platform": plan.platform, **host, **_facts(outcome.facts)},
            plan=plan,
            generation=Path(outcome.generation).name,
            packages=_locked(lock),
            gpus=outcome.gpus,
            steps=outcome.steps,
            tasks=outcome.tasks,
            commands={**before, **{step: tuple(lines) for step, lines in commands.items()}},
            notes={step: tuple(lines) for step, lines in notes.items()},
            left=left,
            promised=outcome.promised,
            checks=outcome.tried.checks,
            owed=outcome.owed,
            untried=_untried(session, outcome),
            figures=outcome.tried.figures,
            regressions=outcome.regressions,
        ),
        record.own_scrubber(),
    )


def _untried(session: Session, outcome: Outcome) -> str:
    if outcome.verdict != "verified" or session.target:
        return ""
    if verified.has_served_compiled(Path(outcome.place)):
        return ""
    return serve.untried(outcome.resolution.plan)


def unsupported(session: Session, refused: Unsupported) -> Report:
    """Return the report of a run that found no plan. It changed nothing."""
    reasons = {row.subject: row.reasons for row in refused.unsupported}
    if "vllm" in reasons:  # the oldest release is named last, and asks for least: it comes first
        reasons["vllm"] = reasons["vllm"][::-1]
    in_use = environments.current_id(Path(session.prefix))
    advice = (*refused.advice, *([f"{in_use} is in use, as it was"] if in_use else []))
    return share.scrubbed_for_logs(
        Report(
            **_of_run(session),
            verdict="not provisioned",
            exit_code=UNSUPPORTED,
            host={"id": verified.host_id()},
            plan=None,
            unsupported=tuple(
                f"{subject}: {reason}" for subject, rows in reasons.items() for reason in rows
            ),
            generation="",
            steps=(),
            notes={"plan": advice},
            checks=(),
        ),
        record.own_scrubber(),
    )


def installed(place: Path) -> Installed:
    state = place / environments.STATE
    plan = files.read_document(state / "plan.json", Plan)
    lock = files.read_document(state / "lock.json", Lock)
    if plan is None or lock is None:
        raise UnreadableInput(
            "the current environment does not say what it is:"
            f" {'lock' if plan else 'plan'}.json is missing or damaged",
            where=str(state),
            hint="./setup.sh repairs it",
        )
    return Installed(generation=place.name, plan=plan, lock=lock)


def in_use(prefix: Path) -> Installed | None:
    """Return the current environment; None where there is none, or where `up` must repair it."""
    current = environments.current_id(prefix)
    if current is None:
        return None
    try:
        return installed(prefix / current)
    except UnreadableInput:
        return None


def of_checks(
    session: Session,
    tried: CheckResults,
    promised: tuple[str, ...],
    gpus: tuple[str, ...],
    facts: dict[str, Any],
    of: Interpreter | Installed,
) -> Report:
    concluded = conclude(tried, promised, gpus)
    commands: dict[str, tuple[str, ...]] = {}
    left: dict[str, Left] = {}
    if isinstance(of, Installed):
        host: dict[str, Any] = {"platform": of.plan.platform}
        packages = _locked(of.lock)
        commands, left = _from_journal(
            session, of.plan, of.lock, f"{session.prefix}/{of.generation}"
        )
    else:
        host = {"python": msgspec.to_builtins(of)}
        packages = {name: Package(version=version) for name, version in of.packages.items()}
    return share.scrubbed_for_logs(
        Report(
            **_of_run(session),
            verdict=concluded.verdict,
            exit_code=concluded.exit_code,
            host={**host, "id": verified.host_id(), **_facts(facts)},
            plan=of.plan if isinstance(of, Installed) else None,
            generation=of.generation if isinstance(of, Installed) else "",
            packages=packages,
            gpus=gpus,
            steps=(),
            commands=commands,
            left=left,
            promised=promised,
            checks=tried.checks,
            figures=tried.figures,
        ),
        record.own_scrubber(),
    )


def _from_journal(
    session: Session, plan: Plan, lock: Lock, generation: str
) -> tuple[dict[str, tuple[str, ...]], dict[str, Left]]:
    """Return, for each step and task, its last commands, and how it ended and what it left."""
    place = Path(generation)
    if not generation or not place.is_dir():
        return {}, {}
    site = Site(generation=generation, prefix=session.prefix, uv=bring_up.own_uv(), host_python="")
    steps, tasks = (
        Journal(Path(site.state)).last_entries(),
        user_tasks.journal(place).last_entries(),
    )
    left = {
        step.label: _left_by(step, plan, lock, site)
        if steps[step.label].outcome == "done"
        else Left()
        for step in discover_steps.discover()
        if step.label in steps
    }
    # A task wins: its label is never that of a step.
    entries = {**steps, **tasks}
    left = {
        label: msgspec.structs.replace(
            left.get(label, Left()), run=entry.run, outcome=entry.outcome
        )
        for label, entry in entries.items()
        if label in left or label in tasks
    }
    return {label: entry.commands for label, entry in entries.items() if entry.commands}, left


def _left_by(step: Step, plan: Plan, lock: Lock, site: Site) -> Left:
    written = (action for action in step.actions(plan, lock, site) if isinstance(action, Write))
    return Left(
        files=tuple(write.path.removeprefix(f"{site.generation}/") for write in written),
        distributions=step.leaves(plan, lock),
    )


def _of_run(session: Session) -> dict[str, Any]:
    began = calendar.timegm(time.strptime(session.run[:16], "%Y%m%dT%H%M%SZ"))
    return {
        "run": session.run,
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began)),
        "seconds": round(max(time.time() - began, 0), 1),
        "tool": VERSION,
        "settings": {**msgspec.to_builtins(session.settings), "prefix": session.prefix},
    }


def _facts(facts: dict[str, Any]) -> dict[str, Any]:
    return {"facts": facts} if facts else {}


def _locked(lock: Lock) -> dict[str, Package]:
    return {
        pin.name: Package(version=pin.version, sha256=pin.wheel.sha256[:_SHOWN])
        for pin in lock.pins
    }
