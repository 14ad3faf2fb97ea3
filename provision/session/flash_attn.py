"""The separate flash-attn package: had before the environment where that is quick or asked for, else afterwards."""

from __future__ import annotations

from pathlib import Path

import msgspec

from provision.display.progress import Followed
from provision.doors import network
from provision.engine import bring_up, launch_checks, promised_checks
from provision.engine.bring_up import BroughtUp
from provision.engine.events import Note
from provision.engine.resolution_cache import Wanted
from provision.engine.uv import planned
from provision.errors import SourceFailed, StepFailed
from provision.flash_attn import admit, build, find, wheel_store
from provision.flash_attn.admit import Ground, Refused
from provision.flash_attn.choose import candidate_name
from provision.flash_attn.find import NotPublished
from provision.flash_attn.step_60_flash_attn import STEP, leaves
from provision.host import record
from provision.host._model import Host
from provision.plan import other_host
from provision.plan._model import Decision, Plan, Refusal, Rejected, Unsupported
from provision.plan.make import make
from provision.session import request
from provision.session.request import Wish
from provision.steps.model import Lock

NUMBER = STEP.number


def owed(wanted: Wanted) -> bool:
    """Planned, and in no lock yet."""
    return wanted.plan.packages.get("flash-attn") is not None and not leaves(wanted.plan, wanted.lock)


def comes_first(wish: Wish, wanted: Wanted) -> bool:
    """A wheel is there in seconds; for a build vLLM waits only where the settings say so."""
    asked = wish.settings.flash_attn
    return owed(wanted) and (wanted.plan.flash_attn.mode == "wheel" or asked.build == "now" or asked.mode == "require")


def settled(wish: Wish, wanted: Wanted, followed: Followed, lock: int, *, afterwards: bool = False) -> Wanted:
    """What is wanted, with a wheel of flash-attn in its lock, or with the reasons why there is none.

    Unless this is `afterwards` a build may still be owed then. What did not do is not tried again, whoever asks;
    what could not be reached is, the next time.
    """
    here = request.here(wish)
    host = other_host.built_here(wish.target, here) if wish.target else here
    had: set[str] = set()
    silent: set[str] = set()
    planned_before = wanted.plan.flash_attn.mode != "none"
    wheel_store.forget_damaged(Path(wish.prefix))
    while True:
        wanted = _with(wish, wanted, _planned(wish, wanted, host))
        if not (owed(wanted) if afterwards else comes_first(wish, wanted)):
            if planned_before and wanted.plan.flash_attn.mode == "none":
                followed(Note(text=f"flash-attn: none; {_anew(wanted)} tries anew"))
            lasting = tuple(one for one in wanted.against if one.version not in silent)
            return msgspec.structs.replace(wanted, against=lasting)
        name = candidate_name(wanted.plan)
        try:
            reason = "it was had, and is not taken" if name in had else _have(wish, wanted, followed, lock)
        except SourceFailed as failure:
            if wanted.plan.flash_attn.mode == "build":
                raise
            reason = failure.what
            silent.add(name)
        had.add(name)
        if reason:
            followed(Note(text=f"flash-attn: {name}: {reason}"))
            wanted = without(wanted, name, reason)


def _anew(wanted: Wanted) -> str:
    """What forgets what was found to stand against it."""
    alone = wanted.plan.flash_attn.flavour == "2"
    return f"./setup.sh provision --only {NUMBER}" if alone else "./setup.sh up --upgrade"


def is_guest(wish: Wish, wanted: Wanted) -> bool:
    """Whether it is all that is new: what is in use is the same without it."""
    names = leaves(wanted.plan, wanted.lock)
    if not names:
        return False
    lock = wanted.lock.without(names)
    return bring_up.is_current(request.asked(wish, msgspec.structs.replace(wanted, lock=lock)))


def without(wanted: Wanted, name: str, reason: str) -> Wanted:
    """With one candidate less."""
    refusal = Refusal(package="flash-attn", version=name, reason=" ".join(reason.split()))
    return msgspec.structs.replace(wanted, against=(*wanted.against, refusal))


def taken_out(wish: Wish, wanted: Wanted, followed: Followed, came: BroughtUp | None, *, guest: bool) -> Wanted | None:
    """What is wanted then, where it was the flash-attn of an environment that went wrong."""
    reason = _wrong(wanted, followed, came, guest=guest)
    if not reason:
        return None
    file, damaged = wanted.plan.flash_attn.wheel, wheel_store.forget_damaged(Path(wish.prefix))
    if file in damaged or (file and not wheel_store.place(Path(wish.prefix), file).exists()):
        followed(Note(text=f"{file} is damaged or gone, and is had anew"))
        return wanted
    followed(Note(text=f"flash-attn is taken out again: {reason}"))
    names = {candidate_name(wanted.plan)}
    names |= {one.came_from for one in wheel_store.found(Path(wish.prefix)) if one.file == wanted.plan.flash_attn.wheel}
    for name in sorted(names):  # nor is it made or fetched again
        wanted = without(wanted, name, reason)
    return wanted


def _wrong(wanted: Wanted, followed: Followed, came: BroughtUp | None, *, guest: bool) -> str:
    if not leaves(wanted.plan, wanted.lock):
        return ""
    if came is None:
        last = followed.results[-1] if followed.results else None
        return _sentence(last.problem) if last and last.number == NUMBER else ""
    proves = {check.name for check in launch_checks.discover() if guest or check.step == NUMBER}
    wrong = (one for one in came.tried.checks if one.name in proves and one.outcome in ("fail", "error"))
    return next((f"{one.name}: {one.summary}" for one in wrong if one.weight == "must"), "")


def _sentence(problem: str) -> str:
    """The last thing that a command said, where it was one that failed: the reason, without command and paths."""
    first, *others = problem.splitlines()
    said = [line.strip() for line in others if line.startswith("    ") and line.strip()]
    return said[-1] if said and "ended with status" in first else first


def with_its_steps(came: BroughtUp, followed: Followed) -> BroughtUp:
    """What was done for flash-attn alone stands in the report beside the steps of the environment."""
    there = {one.number for one in came.steps}
    own = {one.number: one for one in followed.results if one.number not in there or one.outcome == "failed"}
    steps = {one.number: one for one in came.steps} | own
    told = tuple(steps[number] for number in sorted(steps))
    return msgspec.structs.replace(came, steps=told, nothing_to_do=came.nothing_to_do and not own)


def _have(wish: Wish, wanted: Wanted, followed: Followed, lock: int) -> str:
    """One candidate, into the store; or why it is not there."""
    if wanted.plan.flash_attn.flavour != "2":
        return f"it is resolved together with vLLM, which {_anew(wanted)} does"
    if wish.bundle is not None:
        return "the bundle brings no wheel of it"
    here = record.record(network=False, paths={}, sources={}, facts=admit.FACTS)
    asked = request.asked(wish, wanted)
    ground = Ground(
        asked=asked,
        host=Host(here.readings),
        catalogue=request.known_wheels(wish),
        index=asked.environment.get("UV_DEFAULT_INDEX") or network.default_index(),
        events=followed,
        lock=lock,
    )
    try:
        if wanted.plan.flash_attn.mode == "build":
            build.built(ground)
        else:
            admit.fetched(ground, find.find(wanted.plan, wish.settings, asked.environment))
    except NotPublished as failure:
        return failure.what
    except Refused as reason:
        return str(reason)
    return ""


def _planned(wish: Wish, wanted: Wanted, host: Host) -> Plan:
    """The planner's word on flash-attn beside the vLLM and the torch that were settled before."""
    plan = wanted.plan
    torch = planned(plan, "torch").version.partition("+")[0]
    settings = msgspec.structs.replace(
        wish.settings, vllm=planned(plan, "vllm").version.partition("+")[0], torch=torch, python=plan.python
    )
    found = make(host, settings, request.known_wheels(wish), wanted.against)
    if isinstance(found, Unsupported):
        reasons = "; ".join(reason for one in found.unsupported for reason in one.reasons)
        request.complain_of_silence(host, wish.settings)
        goes_on = "flash_attn.mode: auto goes on without it where nothing helps"
        hint = goes_on if wish.settings.flash_attn.mode == "require" else ""
        raise StepFailed(f"flash-attn cannot be had: {reasons}", where=f"step {STEP.label}", hint=hint)
    return found


def _as_planned(plan: Plan, lock: Lock) -> Lock:
    """Without the flash-attn that was resolved together with vLLM, where that is not wanted any more."""
    package, names = plan.packages["flash-attn"], leaves(plan, lock)
    version = package.version.partition("+")[0] if package else ""
    return Lock(
        pins=tuple(pin for pin in lock.pins if pin.name not in names or pin.version.partition("+")[0] == version)
    )


def _told(decision: Decision, wanted: Wanted) -> Decision:
    """Also what was tried before the wheel that is in the store."""
    known = {one.candidate for one in decision.rejected}
    tried = (Rejected(candidate=one.version, reason=one.reason) for one in wanted.against if one.version not in known)
    return msgspec.structs.replace(decision, rejected=(*tried, *decision.rejected))


def _with(wish: Wish, wanted: Wanted, found: Plan) -> Wanted:
    decision = next(_told(one, wanted) for one in found.decisions if one.subject == "flash-attn")
    plan = msgspec.structs.replace(
        wanted.plan,
        packages={**wanted.plan.packages, "flash-attn": found.packages["flash-attn"]},
        flash_attn=found.flash_attn,
        decisions=tuple(decision if one.subject == "flash-attn" else one for one in wanted.plan.decisions),
    )
    lock = _as_planned(plan, wheel_store.locked(Path(wish.prefix), plan, wanted.lock))
    return msgspec.structs.replace(
        wanted, plan=msgspec.structs.replace(plan, checks=promised_checks.promised(plan, lock)), lock=lock
    )
