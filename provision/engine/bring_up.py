"""From a plan and its lock to a verified generation that is current: place, build, check, switch."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from provision.engine import (
    apply,
    discover_steps,
    environments,
    fingerprint,
    promised_checks,
    resolution_cache,
    store,
    verified,
)
from provision.engine.check_results import Tried
from provision.engine.conclude import conclude
from provision.engine.dry_run import Glance, Touched
from provision.engine.events import StepResult, Subscriber
from provision.engine.promised_checks import Checks
from provision.engine.resolution_cache import Wanted
from provision.errors import DONE, UNDECIDED
from provision.plan._model import Plan
from provision.steps.model import Lock, Site, Step


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One environment, wanted in one prefix."""

    wanted: Wanted
    prefix: str
    environment: dict[str, str]
    run: str
    logs: str
    keep: int
    places: dict[str, Path] = {}  # whose disks are part of what the host is
    elsewhere: bool = False  # built here for another host, which owes what only it can prove

    @property
    def plan(self) -> Plan:
        return self.wanted.plan

    @property
    def lock(self) -> Lock:
        return self.wanted.lock


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
    earlier: bytes = b""  # the report of the verified one that this replaces, or would
    regressions: tuple[str, ...] = ()  # for which that one stays current

    @property
    def stands(self) -> bool:
        """It was made current, or is so already."""
        return (self.verdict == "verified" and not self.regressions) or bool(self.owed)


class Judge(Protocol):
    """Lays what is verified beside the report of what it would replace; with `regressions`, that stays current."""

    def __call__(self, came: BroughtUp, earlier: bytes, *, anew: bool) -> BroughtUp:
        """`anew`: its checks were tried just now, not taken from the run that verified it."""


def site(asked: Asked, generation: str) -> Site:
    """The places of one generation."""
    return Site(
        generation=generation,
        prefix=asked.prefix,
        uv=own_uv(),
        host_python=asked.wanted.host_python,
        temporary=tempfile.gettempdir(),
        logs=asked.logs,
        models="" if asked.elsewhere else str(asked.places.get("models", "")),
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
    judge: Judge,
    *,
    lock: int,
    only: int | None = None,
    start: int | None = None,
    guest: bool = False,
) -> BroughtUp:
    """Build (or go on, or find it there), check, and make current only what is verified.

    `document` makes the report that stays with a verified generation; `judge` may keep it from replacing another one;
    `lock` is the prefix's, held by the caller. A `guest` replaces what is current, and is no newer environment.
    """
    prefix = Path(asked.prefix)
    steps = discover_steps.discover()
    wanted_before, before, stored = resolution_cache.load(prefix), environments.current(prefix), store.named(prefix)
    resolution_cache.save(prefix, asked.wanted)
    place = environments.place(prefix, _target(asked, steps), asked.run)
    try:
        results = _build(asked, place, steps, events, lock, only=only, start=start)
    except BaseException:
        # What was refused before anything was begun leaves the prefix as it was.
        if environments.take_away_unbegun(Path(place.path), asked.run):
            resolution_cache.save(prefix, wanted_before)
        raise
    ended = BroughtUp(generation=place.path, steps=tuple(results), before=before)
    complete = (Path(place.path) / environments.STATE / environments.COMPLETE).is_file()
    if not complete:
        return msgspec.structs.replace(ended, verdict="undecided", exit_code=UNDECIDED)
    kept = all(result.outcome == "kept" for result in results)
    if kept and before == place.id and verified.report(Path(place.path)) is not None:
        removed = _tidied(asked, stored)
        return msgspec.structs.replace(ended, verdict="verified", exit_code=DONE, nothing_to_do=True, removed=removed)
    earlier = _earlier(asked, before, place.id)
    if kept and earlier and (stood := _as_it_stood(ended, asked)):
        again = judge(stood, earlier, anew=False)
        if again.regressions:
            return again
    ended = _tried(asked, ended, checks)
    owed = tuple(each.name for each in ended.tried.checks if each.outcome == "skip") if asked.elsewhere else ()
    if ended.verdict == "verified":
        ended = judge(ended, earlier, anew=True) if earlier else ended
        verified.save(Path(place.path), document(ended))
        if ended.regressions:  # it is one of those that are kept, as any other
            return msgspec.structs.replace(ended, removed=_tidied(asked, stored))
    elif not owed or {each.outcome for each in ended.tried.checks} - {"pass", "warn", "skip"}:
        verified.withdraw(Path(place.path))
        return ended
    environments.switch(prefix, place.id)
    return msgspec.structs.replace(ended, removed=_tidied(asked, stored, before if guest else None), owed=owed)


def _earlier(asked: Asked, before: str | None, now: str) -> bytes | None:
    """The report of another environment that is current and was verified on this host."""
    if before is None or before == now or asked.elsewhere:
        return None
    return verified.report(Path(asked.prefix) / before)


def _as_it_stood(ended: BroughtUp, asked: Asked) -> BroughtUp | None:
    """As this host has verified it before, and so that it can be read: nothing is tried again to say the same."""
    report = verified.report(Path(ended.generation))
    try:
        tried = msgspec.json.decode(report or b"", type=Tried)
        facts = msgspec.json.decode(report or b"").get("host", {}).get("facts", {})
    except msgspec.DecodeError:
        return None
    return msgspec.structs.replace(
        ended,
        tried=tried,
        promised=asked.plan.checks,
        gpus=asked.plan.gpus.used,
        verdict="verified",
        exit_code=DONE,
        facts=facts,
    )


def _tried(asked: Asked, ended: BroughtUp, checks: Checks) -> BroughtUp:
    """With what its promised checks come to."""
    names = asked.plan.checks
    gpus = () if asked.elsewhere else asked.plan.gpus.used
    facts = {} if asked.elsewhere else promised_checks.facts_for(names, asked.places)
    tried = promised_checks.ours(asked.plan, asked.lock, ended.generation, names, Path(asked.logs), checks, gpus, facts)
    concluded = conclude(tried, names, gpus)
    return msgspec.structs.replace(
        ended,
        tried=tried,
        promised=names,
        gpus=gpus,
        verdict=concluded.verdict,
        exit_code=concluded.exit_code,
        facts=facts,
    )


def _tidied(asked: Asked, stored: frozenset[Path], replaced: str | None = None) -> tuple[str, ...]:
    """Which generations went; what a killed run has compiled stays for as long as that is to be gone on with."""
    prefix = Path(asked.prefix)
    if asked.plan.flash_attn.mode != "build":
        store.remove_toolkits(prefix)
    removed = environments.prune(prefix, asked.keep, replaced)
    store.prune(prefix, stored)
    return tuple(removed)


def is_current(asked: Asked) -> bool:
    """Whether it is what is in use, in whatever state."""
    standing = environments.standing(Path(asked.prefix), _target(asked, discover_steps.discover()))
    return bool(standing and standing.current)


def glance(asked: Asked) -> BroughtUp | None:
    """Where all of it is current, untouched and verified, there is nothing to do: no lock is taken, nothing written."""
    steps = discover_steps.discover()
    standing = environments.standing(Path(asked.prefix), _target(asked, steps))
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
    place: environments.Generation,
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
