"""Build the environment of a resolution in a prefix, and tidy the prefix afterwards."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from provision.engine import (
    apply,
    discover_steps,
    environments,
    fingerprint,
    resolution_cache,
    store,
    verified,
)
from provision.engine.dry_run import Glance, Touched
from provision.engine.resolution_cache import Resolution
from provision.events import StepResult, Subscriber, ignore
from provision.steps.model import Site


class Workplace(msgspec.Struct, frozen=True, kw_only=True):
    """The places of one run, uv's environment, the listener, and the handle of the prefix's lock.

    `site` names no environment until one is chosen. Commands inherit the handle, so that the lock
    outlives a killed run for as long as one of its commands is at work.
    """

    site: Site
    environment: Mapping[str, str]
    events: Subscriber = ignore
    lock: int | None = None

    @property
    def prefix(self) -> Path:
        return Path(self.site.prefix)

    @property
    def logs(self) -> Path:
        return Path(self.site.logs)

    @property
    def run(self) -> str:
        return self.logs.name

    @property
    def keep_open(self) -> tuple[int, ...]:
        return () if self.lock is None else (self.lock,)

    def at(self, generation: str) -> Site:
        return msgspec.structs.replace(self.site, generation=generation)


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """An environment after its steps, and what the prefix held before them.

    `complete` is False where only a part of the steps is done. `before` is the id of the
    environment that was current, `wheels_before` are the files of the wheel store then in use.
    """

    generation: str
    steps: tuple[StepResult, ...]
    complete: bool = True
    before: str | None = None
    wheels_before: frozenset[Path] = frozenset()

    @property
    def is_unchanged(self) -> bool:
        """Return whether every step was done already."""
        return all(result.outcome == "kept" for result in self.steps)


def own_uv() -> str:
    """Return the uv of the control environment: it is pinned, and the same from every folder."""
    return str(Path(sys.executable).with_name("uv"))


def build(
    resolution: Resolution,
    workplace: Workplace,
    only: int | None = None,
    start: int | None = None,
) -> Built:
    """Build the environment of a resolution, or resume or repair the one that is there."""
    prefix = workplace.prefix
    before, wheels_before = environments.current_id(prefix), store.referenced(prefix)
    last = resolution_cache.load(prefix)
    resolution_cache.save(prefix, resolution)
    place = environments.find_or_begin(prefix, target(resolution, workplace.site), workplace.run)
    try:
        results = apply.build(
            resolution.plan,
            resolution.lock,
            workplace.at(place.path),
            discover_steps.discover(),
            workplace.events,
            workplace.logs,
            only,
            start,
            environment=workplace.environment,
            keep_open=workplace.keep_open,
        )
    except BaseException:
        # A refusal before anything was begun leaves the prefix as it was.
        if environments.remove_if_unbegun(Path(place.path), workplace.run):
            resolution_cache.save(prefix, last)
        raise
    return Built(
        generation=place.path,
        steps=tuple(results),
        complete=(Path(place.path) / environments.STATE / environments.COMPLETE).is_file(),
        before=before,
        wheels_before=wheels_before,
    )


def glance(resolution: Resolution, site: Site) -> Built | None:
    """Return the current environment if it is intact, verified and of this resolution.

    No lock is taken and nothing is written.
    """
    standing = environments.find_by_target(Path(site.prefix), target(resolution, site))
    if not standing or not standing.current or verified.read_report(Path(standing.path)) is None:
        return None
    there = msgspec.structs.replace(site, generation=standing.path)
    try:
        results = apply.build(
            resolution.plan, resolution.lock, there, discover_steps.discover(), by=Glance
        )
    except Touched:
        return None
    return Built(generation=standing.path, steps=tuple(results), before=standing.id)


def is_current(resolution: Resolution, site: Site) -> bool:
    """Return whether the environment of a resolution is current, intact or not."""
    standing = environments.find_by_target(Path(site.prefix), target(resolution, site))
    return bool(standing and standing.current)


def tidy(
    prefix: Path,
    built: Built,
    keep: int,
    *,
    replaced: str | None = None,
    keep_toolkits: bool = False,
) -> None:
    """Remove old environments, unused wheels and toolkits.

    `replaced` is an environment that the new one only adds to: it goes before older ones, which
    are the way back. Toolkits stay where a killed compilation is to resume in one.
    """
    if not keep_toolkits:
        store.remove_toolkits(prefix)
    environments.prune(prefix, keep, replaced)
    store.prune(prefix, built.wheels_before)


def target(resolution: Resolution, site: Site) -> str:
    """Return the fingerprint of a resolution's environment, wherever it lies."""
    anywhere = msgspec.structs.replace(site, generation="")
    return fingerprint.target_fingerprint(
        resolution.plan, resolution.lock, anywhere, discover_steps.discover()
    )
