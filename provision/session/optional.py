"""The optional package in the pipeline: obtain its wheel, or go on without it and say why.

A candidate that does not work is refused, with its reason as data, and the next one is tried.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from provision.doors import addresses
from provision.engine import (
    bring_up,
    candidates,
    discover_steps,
    launch_checks,
    promised_checks,
)
from provision.engine.resolution_cache import Resolution
from provision.engine.uv import connection
from provision.errors import SourceFailed, StepFailed
from provision.events import Note
from provision.flash_attn import admit, wheel_store
from provision.flash_attn.admit import Order
from provision.flash_attn.candidates import candidate
from provision.flash_attn.choose import candidate_name
from provision.host import record
from provision.host._model import Host
from provision.plan import other_host
from provision.plan._model import OPTIONAL, Decision, Plan, Refusal, Rejected, Unsupported
from provision.session import planning, request, resolve, silence
from provision.session._model import Outcome, Session
from provision.steps.model import CandidateRefused, Lock, Step

_UNUSED: Final = "it was obtained, but the plan does not take it"


def step() -> Step:
    return next(step for step in discover_steps.discover() if step.optional)


def is_missing(resolution: Resolution) -> bool:
    """Return whether the package is planned, but in no lock yet."""
    return resolution.plan.optional is not None and not resolution.lock.optional


def prepare(session: Session, resolution: Resolution) -> tuple[Session, Resolution]:
    """Obtain the package before the environment is built, if it is worth waiting for.

    `--only` with the optional step forgets all refusals and tries every candidate again.
    """
    if session.only == step().number:
        session = msgspec.structs.replace(session, slow=True)
        prepared = obtain(session, msgspec.structs.replace(resolution, against=()))
        # Another lock makes another environment, which needs every step.
        if prepared.lock != resolution.lock:
            session = msgspec.structs.replace(session, only=None)
        return session, prepared
    if session.is_whole and _may_try(session, resolution):
        return session, obtain(session, resolution)
    return session, resolution


def obtain(session: Session, resolution: Resolution) -> Resolution:
    """Try candidates in the plan's order; return the resolution with a wheel, or with the reasons.

    A slow candidate stays for the second pass. A refusal is stored, so that no later run repeats
    it, unless a source did not answer.
    """
    here = resolve.here(session)
    host = other_host.with_builder(session.target, here) if session.target else here
    was_planned = resolution.plan.optional is not None
    obtained: set[str] = set()
    unreachable: set[str] = set()
    # First: a damaged wheel would be chosen, refused, and stay refused.
    wheel_store.forget_damaged(Path(session.prefix))
    resolution = _planned_again(session, resolution, host)
    while _may_try(session, resolution):
        name = candidate_name(resolution.plan)
        try:
            # An obtained wheel that is chosen again would be obtained for ever.
            reason = _UNUSED if name in obtained else _refusal(session, resolution)
        except SourceFailed as failure:
            # After a build there is no other candidate: the next run tries it again.
            if resolution.plan.compiles:
                raise
            reason = failure.what
            unreachable.add(name)
        if reason:
            session.listener(Note(text=f"{OPTIONAL}: {name}: {reason}"))
            resolution = _refuse(resolution, name, reason)
        obtained.add(name)
        resolution = _planned_again(session, resolution, host)
    if was_planned and resolution.plan.optional is None:
        session.listener(Note(text=f"{OPTIONAL}: none; {_retry(resolution)} tries again"))
    return msgspec.structs.replace(
        resolution,
        against=tuple(
            refusal for refusal in resolution.against if refusal.version not in unreachable
        ),
    )


def _may_try(session: Session, resolution: Resolution) -> bool:
    waits = session.slow or session.settings.flash_attn.build == "now" or is_required(session)
    return is_missing(resolution) and (waits or not resolution.plan.compiles)


def _refusal(session: Session, resolution: Resolution) -> str:
    """Bring the planned candidate into the store, or return the reason against it."""
    if session.bundle is not None and resolution.plan.flash_attn.flavour == "2":
        return "the bundle brings no wheel of it"
    workplace = request.workplace(session, resolution)
    order = Order(
        plan=resolution.plan,
        lock=resolution.lock,
        prefix=Path(session.prefix),
        settings=session.settings,
        host=record.host_with(admit.FACTS),
        catalogue=planning.catalogue(session.prefix),
        index=workplace.environment.get("UV_DEFAULT_INDEX") or addresses.default_index(),
        connection=connection(workplace.environment),
    )
    try:
        candidates.obtain(candidate(order), resolution, workplace)
    except CandidateRefused as refused:
        return str(refused)
    return ""


def _planned_again(session: Session, resolution: Resolution, host: Host) -> Resolution:
    """Choose again beside the same vLLM and torch, without refused candidates."""
    plan = resolution.plan
    # Pinned to what is resolved: a newer release must not come in by this way.
    settings = msgspec.structs.replace(
        session.settings,
        vllm=plan.package("vllm").version.partition("+")[0],
        torch=plan.package("torch").version.partition("+")[0],
        python=plan.python,
    )
    planned = planning.make_plan(
        host, settings, planning.catalogue(session.prefix), resolution.against
    )
    # vLLM and torch are settled: only `flash_attn.mode: require` makes this impossible.
    if isinstance(planned, Unsupported):
        if failure := silence.all_silent(session, host):
            raise failure
        raise _impossible(session, planned)
    choice = next(old for old in planned.decisions if old.subject == OPTIONAL)
    plan = plan.with_optional_of(planned, _with_refusals(choice, resolution))
    lock = _without_replaced(plan, planning.locked(Path(session.prefix), plan, resolution.lock))
    plan = msgspec.structs.replace(plan, checks=promised_checks.choose_promised(plan, lock))
    return msgspec.structs.replace(resolution, plan=plan, lock=lock)


def _impossible(session: Session, planned: Unsupported) -> StepFailed:
    reasons = "; ".join(reason for row in planned.unsupported for reason in row.reasons)
    return StepFailed(
        f"{OPTIONAL} cannot be installed: {reasons}",
        where=f"step {step().label}",
        hint="flash_attn.mode: auto goes on without it where nothing helps"
        if is_required(session)
        else "",
    )


def _without_replaced(plan: Plan, lock: Lock) -> Lock:
    """Return the lock without a wheel that was resolved with vLLM and is planned no more."""
    version = plan.optional.version.partition("+")[0] if plan.optional else ""
    return lock.without(
        pin.name for pin in lock.optional if pin.version.partition("+")[0] != version
    )


def _with_refusals(decision: Decision, resolution: Resolution) -> Decision:
    """Return the decision with the candidates that were tried before the chosen one."""
    named = {rejected.candidate for rejected in decision.rejected}
    return msgspec.structs.replace(
        decision,
        rejected=(
            *(
                Rejected(candidate=refusal.version, reason=refusal.reason)
                for refusal in resolution.against
                if refusal.version not in named
            ),
            *decision.rejected,
        ),
    )


def _retry(resolution: Resolution) -> str:
    """Return the command that forgets what was refused."""
    return (
        f"./setup.sh provision --only {step().number}"
        if resolution.plan.flash_attn.flavour == "2"
        else "./setup.sh up --upgrade"
    )


def _refuse(resolution: Resolution, name: str, reason: str) -> Resolution:
    return msgspec.structs.replace(
        resolution,
        against=(
            *resolution.against,
            Refusal(package=OPTIONAL, version=name, reason=" ".join(reason.split())),
        ),
    )


def only_adds(session: Session, resolution: Resolution) -> bool:
    """Return whether the environment in use is this one without the optional package."""
    if not resolution.lock.optional:
        return False
    without = msgspec.structs.replace(resolution, lock=resolution.lock.required)
    return bring_up.is_current(without, request.site(session, without))


def reason_against(outcome: Outcome, *, only_adds: bool) -> str:
    """Return the failed check for which the environment's optional package is refused, or "".

    Where the package is all that is new, every failed check speaks against it.
    """
    if not outcome.resolution.lock.optional:
        return ""
    number = step().number
    proofs = {check.name for check in launch_checks.discover() if only_adds or check.step == number}
    failed = [
        check
        for check in outcome.tried.checks
        if check.name in proofs and check.outcome in ("fail", "error") and check.weight == "must"
    ]
    return f"{failed[0].name}: {failed[0].summary}" if failed else ""


def without_candidate(session: Session, resolution: Resolution, reason: str) -> Resolution:
    """Return the resolution with the next candidate, after the locked one did not work.

    A wheel that is damaged or missing is no reason against its candidate: it is obtained again.
    """
    prefix, file = Path(session.prefix), resolution.plan.flash_attn.wheel
    damaged = wheel_store.forget_damaged(prefix)
    if file in damaged or (file and not wheel_store.path_of(prefix, file).exists()):
        session.listener(Note(text=f"{file} is damaged or missing; obtaining it again"))
        return obtain(session, resolution)
    session.listener(Note(text=f"{OPTIONAL} is removed again: {reason}"))
    # Nor is the wheel made or fetched again under the name that it had before it was kept.
    names = {wheel.candidate for wheel in wheel_store.kept_wheels(prefix) if wheel.file == file}
    for name in sorted({candidate_name(resolution.plan), *names}):
        resolution = _refuse(resolution, name, reason)
    return obtain(session, resolution)


def is_required(session: Session) -> bool:
    return session.settings.flash_attn.mode == "require"


def fetch_for_bundle(session: Session, target: Host, plan: Plan, lock: Lock) -> tuple[Plan, Lock]:
    """Fetch a published wheel for a bundle, as `up` does. Nothing is compiled for it."""
    resolution = Resolution(wish="", plan=plan, lock=lock, host_python="")
    if plan.compiles or not is_missing(resolution):
        return plan, lock
    settings = session.settings.flash_attn
    # Also where it is required: the lack is reported once, after every wheel was tried.
    lenient = msgspec.structs.replace(
        settings, mode="auto" if is_required(session) else settings.mode, build="after"
    )
    with request.locked(session, "bundle") as held:
        obtained = obtain(
            msgspec.structs.replace(
                held,
                target=target,
                settings=msgspec.structs.replace(held.settings, flash_attn=lenient),
            ),
            resolution,
        )
    return obtained.plan, obtained.lock


def missing_from_bundle(planned: Plan, plan: Plan, lock: Lock, host: str | None) -> str:
    """Return why a bundle lacks the planned package, and what to do; "" if it lacks nothing."""
    if planned.optional is None or lock.optional:
        return ""
    why = plan.flash_attn.why.partition(". ")[0]
    compiles = f"`./setup.sh provision --host {host}`" if host else "`./setup.sh`"
    return (
        f"{OPTIONAL} is not in the bundle: {why}. {compiles} keeps a wheel of it that is compiled "
        "here, `./setup.sh wheels import PATH` one from elsewhere; then make the bundle again"
    )
