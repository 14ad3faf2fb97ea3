"""Try a candidate of an optional step: carry out its work, and have the wheel kept in the store."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Final

from provision.engine import apply, environments, fetch, resolve, store
from provision.engine.bring_up import Workplace
from provision.engine.resolution_cache import Resolution
from provision.errors import StepFailed
from provision.events import Note
from provision.plan._model import Plan
from provision.steps.model import CandidateRefused, Lock, Site, WheelCandidate, WheelWork

# The second attempt is for a wheel that a killed run moved into the store without a note.
_ATTEMPTS: Final = 2


def obtain(candidate: WheelCandidate, resolution: Resolution, workplace: Workplace) -> None:
    """Bring the wheel of a candidate into the store.

    Raise CandidateRefused with the reason if the candidate cannot be used. Other failures say
    nothing against it: the same command resumes.
    """
    work = candidate.work(_tools(candidate, resolution, workplace))
    if work.note:
        workplace.events(Note(text=work.note))
    began = time.monotonic()
    if work.fetch:
        fetch.fetch(work.fetch, workplace.environment, workplace.events)
    site = workplace.at(str(workplace.prefix / environments.TOOLKITS / work.folder))
    work.keep(_carried_out(work, resolution.plan, site, workplace), time.monotonic() - began)
    if work.steps:
        store.remove_toolkits(workplace.prefix)


def _tools(candidate: WheelCandidate, resolution: Resolution, workplace: Workplace) -> Lock:
    """Return the lock of a candidate's tools, with the distributions of the environment kept."""
    if not candidate.tools:
        return Lock(pins=())
    with tempfile.TemporaryDirectory(prefix="vllm-ready-") as folder:
        tools = resolve.resolve_beside(
            resolution.plan,
            resolution.lock,
            candidate.tools,
            workplace.site.uv,
            workplace.environment,
            Path(folder),
        )
    if isinstance(tools, str):
        raise CandidateRefused(f"the tools that compile it cannot be installed: {tools}")
    return tools


def _carried_out(work: WheelWork, plan: Plan, site: Site, workplace: Workplace) -> Path:
    for _ in range(_ATTEMPTS):
        if work.steps:
            _build(work, plan, site, workplace)
        if wheel := work.wheel(site):
            return wheel
        shutil.rmtree(site.generation)
    raise CandidateRefused("its setup ended well and made no wheel")


def _build(work: WheelWork, plan: Plan, site: Site, workplace: Workplace) -> None:
    try:
        apply.build(
            plan,
            work.lock,
            site,
            work.steps,
            workplace.events,
            workplace.logs,
            environment=workplace.environment,
            keep_open=workplace.keep_open,
        )
    except StepFailed as failure:
        reason = work.refusal(failure)
        if not reason:
            raise
        label = next(step.label for step in work.steps if step.number == failure.step)
        log = f"{workplace.run}/{label}.log"  # later runs show the reason, too
        raise CandidateRefused(f"{reason}; its log is {log}") from failure
