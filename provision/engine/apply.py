"""Carry out steps in an environment: keep what is done, repair damage, verify every file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from provision.engine import fingerprint
from provision.engine.actions import Carrier, clean
from provision.engine.building import Building
from provision.engine.fetch import Fetching
from provision.engine.work import Work
from provision.errors import NotWritable, StepFailed, WrongUsage
from provision.events import StepResult, Subscriber, ignore
from provision.plan._model import Plan
from provision.steps.model import Lock, Site, Step


def build(
    plan: Plan,
    lock: Lock,
    site: Site,
    steps: Sequence[Step],
    events: Subscriber = ignore,
    log_folder: Path = Path("logs"),
    only: int | None = None,
    start: int | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    keep_open: Sequence[int] = (),
    by: type[Building] = Building,
) -> list[StepResult]:
    """Bring an environment to what the steps say. Making it current is left to the caller.

    The caller holds the prefix's lock (`keep_open` is its handle, which commands inherit) and turns
    every polite end into a KeyboardInterrupt. The steps that `only` or `start` name are carried out
    even if they are done; the steps before them must be done. Once all are done, every file is
    compared with its RECORD and the environment is marked complete.

    Commands start with `environment` (None: our own, cleaned). `by` may be a build that changes
    nothing, such as DryRun.
    """
    numbers = [step.number for step in steps]
    number = only if only is not None else start
    if number is not None and number not in numbers:
        raise WrongUsage(
            f"there is no step {number}",
            hint=f"there are: {', '.join(map(str, numbers))}; ./setup.sh tasks lists your own too",
        )
    variables = clean(os.environ) if environment is None else environment
    try:
        with Fetching(variables, events) as fetching:
            carrier = Carrier(
                site=site,
                folder=log_folder,
                events=events,
                environment=variables,
                fetching=fetching,
                keep_open=tuple(keep_open),
            )
            building = by(lock, site, _work(plan, lock, site, steps), carrier, events)
            if only is not None:
                return building.part(only, only)
            if start is not None:
                return building.part(start, numbers[-1])
            return building.everything()
    except NotWritable as failure:
        # The disk filled up, which is no wrong setting: what was done stays, and a retry resumes.
        raise StepFailed(failure.what, where=failure.where, hint=failure.hint) from failure
    except OSError as error:
        raise StepFailed(
            f"the environment cannot be written: {error.strerror or error}",
            where=str(error.filename or site.generation),
            hint="repair that; the same command resumes",
        ) from error


def _work(plan: Plan, lock: Lock, site: Site, steps: Sequence[Step]) -> list[Work]:
    return [
        Work(
            step=step,
            actions=step.actions(plan, lock, site),
            leaves=step.leaves(plan, lock),
            fingerprint=link,
        )
        for step, link in zip(steps, fingerprint.chain(plan, lock, site, steps), strict=True)
    ]
