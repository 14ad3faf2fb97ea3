"""What a build would do: the generation that it would work on, and every step of it; nothing is changed."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from provision.engine import apply, discover_steps, environments, fingerprint
from provision.engine.bring_up import Asked, site
from provision.engine.dry_run import DryRun
from provision.engine.events import StepResult
from provision.steps.model import Action, Site, Step


class Foreseen(msgspec.Struct, frozen=True, kw_only=True):
    """One step before it is carried out: whether it stands, and else what it would do."""

    step: str
    outcome: Literal["kept", "would run"]
    actions: tuple[Action, ...] = ()


def foreseen(asked: Asked, *, only: int | None = None, start: int | None = None) -> tuple[str, list[Foreseen]]:
    """The generation that a build would work on, and what it would do there; nothing is changed."""
    steps = discover_steps.discover()
    standing = environments.standing(
        Path(asked.prefix), fingerprint.target(asked.plan, asked.lock, site(asked, ""), steps)
    )
    there = site(asked, standing.path if standing else f"{asked.prefix}/{asked.run}")
    results = apply.build(asked.plan, asked.lock, there, steps, only=only, start=start, by=DryRun)
    by_number = {step.number: step for step in steps}
    return there.generation, [_foreseen(by_number[one.number], one, asked, there) for one in results]


def _foreseen(step: Step, result: StepResult, asked: Asked, there: Site) -> Foreseen:
    if result.outcome == "kept":
        return Foreseen(step=step.label, outcome="kept")
    return Foreseen(step=step.label, outcome="would run", actions=step.actions(asked.plan, asked.lock, there))
