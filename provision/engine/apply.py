"""Carries out steps in a generation: keeps what stands, heals what is torn, proves the whole before it is complete."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from provision.engine import fingerprint
from provision.engine.actions import Carrier, clean
from provision.engine.building import Building, Work
from provision.engine.events import StepResult, Subscriber, nobody
from provision.engine.fetch import Fetching
from provision.errors import NotWritable, StepFailed, WrongUsage
from provision.plan._model import Plan
from provision.steps.model import Lock, Site, Step


def build(
    plan: Plan,
    lock: Lock,
    site: Site,
    steps: Sequence[Step],
    events: Subscriber = nobody,
    log_folder: Path = Path("logs"),
    only: int | None = None,
    start: int | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    keep_open: Sequence[int] = (),
    by: type[Building] = Building,
) -> list[StepResult]:
    """Bring a generation to what the steps say; the caller holds the prefix's lock (`keep_open`: its handle), and
    makes every polite end a KeyboardInterrupt.

    Steps that `only` or `start` name are carried out even where they stand; what lies before them must stand.
    When all stand, every file is compared with its RECORD and the generation is marked complete; to make it
    current is the caller's. `environment` is what commands start with (ours, cleaned, where it is None); `by`
    is who does it (DryRun: nobody).
    """
    numbers = [step.number for step in steps]
    if only is not None or start is not None:
        asked = only if only is not None else start
        if asked not in numbers:
            raise WrongUsage(f"there is no step {asked}", hint=f"there are: {', '.join(map(str, numbers))}")
    work = [
        Work(step=step, actions=step.actions(plan, lock, site), leaves=step.leaves(plan, lock), fingerprint=link)
        for step, link in zip(steps, fingerprint.chain(plan, lock, site, steps), strict=True)
    ]
    given = clean(os.environ) if environment is None else environment
    try:
        with Fetching(given, events) as fetching:
            carrier = Carrier(
                site=site,
                folder=log_folder,
                events=events,
                environment=given,
                fetching=fetching,
                keep_open=tuple(keep_open),
            )
            building = by(lock, site, work, carrier, events)
            if only is not None:
                return building.part(only, only)
            return building.part(start, numbers[-1]) if start is not None else building.everything()
    except NotWritable as failure:  # a disk that filled up, not a wrong setting: what was done stays
        raise StepFailed(failure.what, where=failure.where, hint=failure.hint) from failure
    except OSError as error:
        raise StepFailed(
            f"the environment cannot be written: {error.strerror or error}",
            where=str(error.filename or site.generation),
            hint="mend that; the same command goes on from here",
        ) from error
