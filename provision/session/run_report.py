"""A run's report: of one that builds, of one that only looks, of one that found no plan."""

from __future__ import annotations

import calendar
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from provision.engine import bring_up, discover_steps, environments, user_tasks, verified
from provision.engine.bring_up import BroughtUp
from provision.engine.check_results import Tried
from provision.engine.conclude import conclude
from provision.engine.journal import Journal
from provision.engine.promised_checks import Interpreter
from provision.engine.resolution_cache import Wanted
from provision.errors import UNSUPPORTED, UnreadableInput
from provision.host import record
from provision.plan._model import Plan, Unsupported
from provision.report import share
from provision.report._model import Left, Package, Report
from provision.session.request import Wish
from provision.steps.model import Lock, Site, Step, Write
from provision.version import VERSION

_SHOWN = 16  # of a hash

Said = Mapping[str, Sequence[str]]
no_words: Final[Said] = {}


class Stood(msgspec.Struct, frozen=True, kw_only=True):
    """An environment of ours as it was found."""

    generation: str
    plan: Plan
    lock: Lock


def report(wish: Wish, resolved: Wanted, came: BroughtUp, commands: Said = no_words, notes: Said = no_words) -> Report:
    """Of a run that builds."""
    here = {} if wish.target else {"id": verified.host_id()}
    before, left = _kept(wish, resolved.plan, resolved.lock, came.generation)
    told = Report(
        **_of_run(wish),
        verdict=came.verdict,
        exit_code=came.exit_code,
        host={"platform": resolved.plan.platform, **here, **_facts(came.facts)},
        plan=resolved.plan,
        generation=Path(came.generation).name,
        packages=_locked(resolved.lock),
        gpus=came.gpus,
        steps=came.steps,
        commands={**before, **{step: tuple(run) for step, run in commands.items()}},
        notes={step: tuple(said) for step, said in notes.items()},
        left=left,
        promised=came.promised,
        checks=came.tried.checks,
        owed=came.owed,
        figures=came.tried.figures,
        regressions=came.regressions,
    )
    return share.kept(told, record.who_and_where())


def unsupported(wish: Wish, found: Unsupported) -> Report:
    """Of a run that found no plan for this host; nothing was begun, and what is in use stays so."""
    reasons = {one.subject: one.reasons for one in found.unsupported}
    if "vllm" in reasons:  # the oldest release, which is named last, asks for least
        reasons["vllm"] = reasons["vllm"][::-1]
    in_use = environments.current(Path(wish.prefix))
    told = Report(
        **_of_run(wish),
        verdict="not provisioned",
        exit_code=UNSUPPORTED,
        host={"id": verified.host_id()},
        plan=None,
        unsupported=tuple(f"{subject}: {reason}" for subject, said in reasons.items() for reason in said),
        generation="",
        steps=(),
        notes={"plan": (*found.advice, *([f"{in_use} is in use, as it was"] if in_use else []))},
        checks=(),
    )
    return share.kept(told, record.who_and_where())


def stood(place: Path) -> Stood:
    """What lies at a place, in its own words."""
    state = place / environments.STATE
    try:
        plan = msgspec.json.decode((state / "plan.json").read_bytes(), type=Plan)
        lock = msgspec.json.decode((state / "lock.json").read_bytes(), type=Lock)
    except (OSError, msgspec.MsgspecError) as error:
        raise UnreadableInput(
            f"the current environment does not say what it is: {error}", where=str(state), hint="./setup.sh mends it"
        ) from error
    return Stood(generation=place.name, plan=plan, lock=lock)


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
    commands: dict[str, tuple[str, ...]] = {}
    left: dict[str, Left] = {}
    if isinstance(of, Stood):
        host = {"platform": of.plan.platform}
        packages = _locked(of.lock)
        commands, left = _kept(wish, of.plan, of.lock, f"{wish.prefix}/{of.generation}")
    else:
        host = {"python": msgspec.to_builtins(of)}
        packages = {name: Package(version=version) for name, version in of.packages.items()}
    told = Report(
        **_of_run(wish),
        verdict=concluded.verdict,
        exit_code=concluded.exit_code,
        host={**host, "id": verified.host_id(), **_facts(facts)},
        plan=of.plan if isinstance(of, Stood) else None,
        generation=of.generation if isinstance(of, Stood) else "",
        packages=packages,
        gpus=gpus,
        steps=(),
        commands=commands,
        left=left,
        promised=promised,
        checks=tried.checks,
        figures=tried.figures,
    )
    return share.kept(told, record.who_and_where())


def _kept(wish: Wish, plan: Plan, lock: Lock, generation: str) -> tuple[dict[str, tuple[str, ...]], dict[str, Left]]:
    """What a generation knows of how it was made, by step: the commands of its last run, its end and what it left."""
    place = Path(generation)
    if not generation or not place.is_dir():
        return {}, {}
    there = Site(generation=generation, prefix=wish.prefix, uv=bring_up.own_uv(), host_python="")
    steps, own = Journal(Path(there.state)).last(), user_tasks.journal(place).last()
    left = {
        step.label: _left_by(step, plan, lock, there) if steps[step.label].outcome == "done" else Left()
        for step in discover_steps.discover()
        if step.label in steps
    }
    ended = {**steps, **own}
    left = {
        label: msgspec.structs.replace(left.get(label, Left()), run=one.run, outcome=one.outcome)
        for label, one in ended.items()
        if label in left or label in own
    }
    return {label: one.commands for label, one in ended.items() if one.commands}, left


def _left_by(step: Step, plan: Plan, lock: Lock, there: Site) -> Left:
    actions = step.actions(plan, lock, there)
    files = tuple(one.path.removeprefix(f"{there.generation}/") for one in actions if isinstance(one, Write))
    return Left(files=files, distributions=step.leaves(plan, lock))


def _of_run(wish: Wish) -> dict[str, Any]:
    began = calendar.timegm(time.strptime(wish.run[:16], "%Y%m%dT%H%M%SZ"))
    started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began))
    seconds = round(max(time.time() - began, 0), 1)
    settings = {**msgspec.to_builtins(wish.settings), "prefix": wish.prefix}
    return {"run": wish.run, "started": started, "seconds": seconds, "tool": VERSION, "settings": settings}


def _facts(facts: dict[str, Any]) -> dict[str, Any]:
    return {"facts": facts} if facts else {}


def _locked(lock: Lock) -> dict[str, Package]:
    return {pin.name: Package(version=pin.version, sha256=pin.wheel.sha256[:_SHOWN]) for pin in lock.pins}
