"""Say what a build would do: the environment that it would work on, and its steps."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from provision.engine import apply, discover_steps, environments
from provision.engine.bring_up import target
from provision.engine.dry_run import DryRun
from provision.engine.resolution_cache import Resolution
from provision.steps.model import Action, Site


class PlannedStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step before it is carried out: kept, or the actions that would run."""

    step: str
    outcome: Literal["kept", "would run"]
    actions: tuple[Action, ...] = ()


def preview(
    resolution: Resolution, site: Site, *, only: int | None = None, start: int | None = None
) -> tuple[str, list[PlannedStep]]:
    """Return the environment that a build would work on, and its steps. Nothing is changed."""
    plan, lock = resolution.plan, resolution.lock
    steps = discover_steps.discover()
    standing = environments.find_by_target(Path(site.prefix), target(resolution, site))
    place = standing.path if standing else f"{site.prefix}/{Path(site.logs).name}"
    there = msgspec.structs.replace(site, generation=place)
    by_number = {step.number: step for step in steps}
    planned = []
    for result in apply.build(plan, lock, there, steps, only=only, start=start, by=DryRun):
        step = by_number[result.number]
        is_kept = result.outcome == "kept"
        planned.append(
            PlannedStep(
                step=step.label,
                outcome="kept" if is_kept else "would run",
                actions=() if is_kept else step.actions(plan, lock, there),
            )
        )
    return place, planned
