"""From a plan and its lock to a verified generation that is current: place, build, check, switch."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import msgspec

from provision.engine import apply, fingerprint, generations, proof, steps_found, store, verified, wanted
from provision.engine.conclude import conclude
from provision.engine.dry_run import DryRun, Glance, Touched
from provision.engine.events import StepResult, Subscriber
from provision.engine.proof import Checks
from provision.engine.tried import Tried
from provision.engine.wanted import Wanted
from provision.errors import DONE, UNDECIDED
from provision.plan._model import Plan
from provision.steps import Action, Lock, Site, Step


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One environment, wanted in one prefix."""

    wanted: Wanted
    prefix: str
    environment: dict[str, str]
    run: str
    logs: str
    keep: int
    elsewhere: bool = False  # built here for another host, which owes what only it can prove

    @property
    def plan(self) -> Plan:
        return self.wanted.plan

    @property
    def lock(self) -> Lock:
        return self.wanted.lock


class Foreseen(msgspec.Struct, frozen=True, kw_only=True):
    """One step before it is carried out: whether it stands, and else what it would do."""

    step: str
    outcome: Literal["kept", "would run"]
    actions: tuple[Action, ...] = ()


class BroughtUp(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. `before` was current until now; `nothing_to_do` is where all of it stood and was verified.

    `owed` names the checks that only the host can try for which this was built.
    """

    generation: str
    steps: tuple[StepResult, ...]
    tried: Tried = Tried()
    promised: tuple[str, ...] = ()
    gpus: tuple[str, ...] = ()  # that were to be tried
    verdict: Literal["verified", "not verified", "undecided", "not provisioned"] = "not provisioned"
    exit_code: int = 4
    nothing_to_do: bool = False
    before: str | None = None
    removed: tuple[str, ...] = ()
    owed: tuple[str, ...] = ()
    facts: dict[str, Any] = {}  # the host as the checks saw it

    @property
    def stands(self) -> bool:
        """It was made current, or is so already."""
        return self.verdict == "verified" or bool(self.owed)


def site(asked: Asked, generation: str) -> Site:
    """The places of one generation."""
    return Site(
        generation=generation,
        prefix=asked.prefix,
        uv=own_uv(),
        host_python=asked.wanted.host_python,
        temporary=tempfile.gettempdir(),
        logs=asked.logs,
        elsewhere=asked.elsewhere,
    )


def own_uv() -> str:
    """The uv of the control environment: pinned, and the same wherever we are started from."""
    return str(Path(sys.executable).with_name("uv"))


def bring_up(
    asked: Asked,
    events: Subscriber,
    checks: Checks,
    document: Callable[[BroughtUp], bytes],
    *,
    lock: int,
    only: int | None = None,
    start: int | None = None,
    guest: bool = False,
) -> BroughtUp:
    """Build (or go on, or find it there), check, and make current only what is verified.

    `document` makes the report that stays with a verified generation; `lock` is the prefix's, held by the caller.
    With a `guest`, it replaces what is current, and is no newer environment.
    """
    prefix = Path(asked.prefix)
    steps = steps_found.discover()
    wanted_before, before, stored = wanted.load(prefix), generations.current(prefix), store.named(prefix)
    wanted.save(prefix, asked.wanted)
    place = generations.place(prefix, _target(asked, steps), asked.run)
    try:
        results = _build(asked, place, steps, events, lock, only=only, start=start)
    except BaseException:
        # What was refused before anything was begun leaves the prefix as it was.
        if generations.take_away_unbegun(Path(place.path)):
            wanted.save(prefix, wanted_before)
        raise
    ended = BroughtUp(generation=place.path, steps=tuple(results), before=before)
    complete = (Path(place.path) / generations.STATE / generations.COMPLETE).is_file()
    if not complete:
        return msgspec.structs.replace(ended, verdict="undecided", exit_code=UNDECIDED)
    kept = all(result.outcome == "kept" for result in results)
    if kept and before == place.id and verified.report(Path(place.path)) is not None:
        removed = _tidied(asked, stored)
        return msgspec.structs.replace(ended, verdict="verified", exit_code=DONE, nothing_to_do=True, removed=removed)
    names = asked.plan.checks
    gpus = () if asked.elsewhere else asked.plan.gpus.used
    facts = {} if asked.elsewhere else proof.facts_for(names, {"prefix": prefix, "logs": Path(asked.logs).parent})
    tried = proof.ours(asked.plan, asked.lock, place.path, names, Path(asked.logs), checks, gpus, facts)
    concluded = conclude(tried, names, gpus)
    ended = msgspec.structs.replace(
        ended,
        tried=tried,
        promised=names,
        gpus=gpus,
        verdict=concluded.verdict,
        exit_code=concluded.exit_code,
        facts=facts,
    )
    owed = tuple(each.name for each in tried.checks if each.outcome == "skip") if asked.elsewhere else ()
    if ended.verdict == "verified":
        verified.save(Path(place.path), document(ended))
    elif not owed or {each.outcome for each in tried.checks} - {"pass", "warn", "skip"}:
        verified.withdraw(Path(place.path))
        return ended
    generations.switch(prefix, place.id)
    return msgspec.structs.replace(ended, removed=_tidied(asked, stored, before if guest else None), owed=owed)


def _tidied(asked: Asked, stored: frozenset[Path], replaced: str | None = None) -> tuple[str, ...]:
    """Which generations went; what a killed run has compiled stays for as long as that is to be gone on with."""
    prefix = Path(asked.prefix)
    if asked.plan.flash_attn.mode != "build":
        store.remove_toolkits(prefix)
    removed = generations.prune(prefix, asked.keep, replaced)
    store.prune(prefix, stored)
    return tuple(removed)


def is_current(asked: Asked) -> bool:
    """Whether it is what is in use, in whatever state."""
    standing = generations.standing(Path(asked.prefix), _target(asked, steps_found.discover()))
    return bool(standing and standing.current)


def glance(asked: Asked) -> BroughtUp | None:
    """Where all of it is current, untouched and verified, there is nothing to do: no lock is taken, nothing written."""
    steps = steps_found.discover()
    standing = generations.standing(Path(asked.prefix), _target(asked, steps))
    if not standing or not standing.current or verified.report(Path(standing.path)) is None:
        return None
    try:
        results = apply.build(asked.plan, asked.lock, site(asked, standing.path), steps, by=Glance)
    except Touched:
        return None
    return BroughtUp(
        generation=standing.path,
        steps=tuple(results),
        before=standing.id,
        verdict="verified",
        exit_code=DONE,
        nothing_to_do=True,
    )


def _target(asked: Asked, steps: list[Step]) -> str:
    return fingerprint.target(asked.plan, asked.lock, site(asked, ""), steps)


def _build(
    asked: Asked,
    place: generations.Generation,
    steps: list[Step],
    events: Subscriber,
    handle: int,
    *,
    only: int | None,
    start: int | None,
) -> list[StepResult]:
    return apply.build(
        asked.plan,
        asked.lock,
        site(asked, place.path),
        steps,
        events,
        Path(asked.logs),
        only,
        start,
        environment=asked.environment,
        keep_open=(handle,),
    )


def dry_run(asked: Asked, *, only: int | None = None, start: int | None = None) -> tuple[str, list[Foreseen]]:
    """The generation that a build would work on, and what it would do there; nothing is changed."""
    steps = steps_found.discover()
    standing = generations.standing(Path(asked.prefix), _target(asked, steps))
    there = site(asked, standing.path if standing else f"{asked.prefix}/{asked.run}")
    results = apply.build(asked.plan, asked.lock, there, steps, only=only, start=start, by=DryRun)
    by_number = {step.number: step for step in steps}
    return there.generation, [_foreseen(by_number[one.number], one, asked, there) for one in results]


def _foreseen(step: Step, result: StepResult, asked: Asked, there: Site) -> Foreseen:
    if result.outcome == "kept":
        return Foreseen(step=step.label, outcome="kept")
    return Foreseen(step=step.label, outcome="would run", actions=step.actions(asked.plan, asked.lock, there))
