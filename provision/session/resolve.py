"""Resolve a request: to the stored resolution if nothing changed, else to a new plan and lock."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import msgspec

from provision.engine import bring_up, fetch, promised_checks, resolution_cache, resolve
from provision.engine.resolution_cache import Resolution
from provision.errors import SourceFailed
from provision.host import installer_config, pythons, record, sources
from provision.host._model import Host
from provision.host.installer_config import InstallerConfig
from provision.host.sources import SourceAnswer
from provision.plan import other_host
from provision.plan._model import Plan, Unsupported
from provision.session import inputs, planning, request, silence
from provision.session._model import Session
from provision.settings import SourceSettings
from provision.steps.model import INSTALLERS, Lock


def resolved(session: Session, *, upgrade: bool = False) -> tuple[Resolution | Unsupported, bool]:
    """Return what is to be built, and whether its packages differ from the last time."""
    last = known(session)
    # A bundle is always read: it may have been replaced by another one.
    if session.bundle is not None:
        brought = _from_bundle(session, Path(session.bundle))
        return brought, _is_news(brought, last)
    if last and last.tool == resolution_cache.tool() and not upgrade:
        return last, False
    try:
        resolution = _resolve_again(session)
    except SourceFailed as failure:
        # An upgrade was asked for: keeping the old plan would not be one.
        if last is None or upgrade:
            raise
        session.say(
            f"this version of vllm-ready would plan again, but {failure.what}; "
            "the plan in use is kept"
        )
        return last, False
    if last and not upgrade and not isinstance(resolution, Unsupported):
        resolution = _without_new_installers(resolution, last)
    return resolution, _is_news(resolution, last)


def _without_new_installers(resolution: Resolution, last: Resolution) -> Resolution:
    """Keep the lock of an environment that only lacks pip: it gets that with its next upgrade."""
    missing = [name for name in INSTALLERS if last.lock.version(name) is None]
    without = resolution.lock.without(missing)
    return msgspec.structs.replace(
        resolution, lock=without if without.text == last.lock.text else resolution.lock
    )


def _is_news(resolution: Resolution | Unsupported, last: Resolution | None) -> bool:
    """Compare names, versions and hashes. The same file at another address is no news."""
    if last is None or isinstance(resolution, Unsupported):
        return True
    return resolution.lock.text != last.lock.text


def known(session: Session) -> Resolution | None:
    """Return the stored resolution of this very request on this host. No network is needed."""
    return still_known(session, resolution_cache.load(Path(session.prefix)))


def still_known(session: Session, last: Resolution | None) -> Resolution | None:
    """Return a resolution if it answers this very request on this host."""
    host = session.target or record.host_with(resolution_cache.FACTS)
    return _with_a_python(last) if last and last.wish == _wish(host, session) else None


def _wish(host: Host, session: Session) -> str:
    return resolution_cache.wish(host, session.settings, planning.choices())


def _with_a_python(last: Resolution) -> Resolution | None:
    """Replace an interpreter that is gone by another of its version; None if there is none."""
    if not last.host_python or os.access(last.host_python, os.X_OK):
        return last
    other = _interpreter(record.host_with((pythons.FACT,)), last.plan.python)
    return msgspec.structs.replace(last, host_python=other) if other else None


def _resolve_again(session: Session) -> Resolution | Unsupported:
    builder = here(session)
    # Nothing that is installed here can run on another kind of machine.
    if session.target and (refused := other_host.against_machine(session.target, builder)):
        return refused
    host = other_host.with_builder(session.target, builder) if session.target else builder
    planned = plan_and_lock(session, host)
    if isinstance(planned, Unsupported):
        return planned
    plan, lock = planned
    if missing := other_host.against_python(plan, builder):
        return missing
    python = _interpreter(builder, plan.python)
    resolution = _resolution(session, session.target or builder, plan, lock, python)
    return msgspec.structs.replace(resolution, answered=silence.remembered(session, builder))


def here(session: Session) -> Host:
    """Record this host, and which package sources answer."""
    session.say("looking at this host and at what answers")
    paths, addresses = inputs.paths(session.settings), inputs.addresses(session.settings)
    host = Host(record.record(network=True, paths=paths, sources=addresses).readings)
    return silence.patient(session, host)


def plan_and_lock(session: Session, host: Host) -> tuple[Plan, Lock] | Unsupported:
    """Return the newest plan for a host that can be resolved here, and its lock with sizes."""
    prefix = Path(session.prefix)
    silence.refuse(session, host)
    session.say("resolving the newest vLLM that can be installed here")
    with tempfile.TemporaryDirectory(prefix="vllm-ready-") as folder:
        planned = resolve.plan_and_resolve(
            host,
            session.settings,
            planning.catalogue(session.prefix),
            bring_up.own_uv(),
            lambda plan: request.environment(session, plan),
            Path(folder),
            optional=planning.CHOOSER,
        )
        if not isinstance(planned, Unsupported):
            plan, lock = planned
            variables = request.environment(session, plan)
            lock, problem = resolve.with_installers(
                plan, lock, bring_up.own_uv(), variables, Path(folder)
            )
            if problem:
                plan = msgspec.structs.replace(plan, warnings=(*plan.warnings, problem))
            planned = plan, lock
    if isinstance(planned, Unsupported):
        if failure := silence.all_silent(session, host):
            raise failure
        return planned
    plan, lock = planned
    return plan, planning.locked(
        prefix, plan, fetch.with_sizes(lock, request.environment(session, plan))
    )


def _from_bundle(session: Session, folder: Path) -> Resolution | Unsupported:
    """Return what a bundle brings, if the plan for this host is the same."""
    from provision.engine import bundle  # only a run with --bundle needs it

    brought = bundle.load(folder)
    pins = bundle.lock_within(brought, folder).pins
    if other := other_host.against_settings(
        session.settings, brought.plan, {pin.name: pin.version for pin in pins}
    ):
        return other
    # The plan rests on what answered the host that made the bundle: here nothing does.
    host = Host(
        record.record(network=False, paths=inputs.paths(session.settings), sources={}).readings
    ).replace(
        {
            sources.FACT.name: {
                name: SourceAnswer(answers=answers) for name, answers in brought.answered.items()
            },
            installer_config.FACT.name: InstallerConfig(local_wheels=brought.local_wheels),
        }
    )
    settings = msgspec.structs.replace(
        session.settings,
        vllm=brought.plan.package("vllm").version.partition("+")[0],
        python=brought.plan.python,
        sources=msgspec.convert(brought.answered, type=SourceSettings),
        extra_packages=(),
    )
    plan = planning.plan_for_bundle(host, settings, brought.kept)
    if isinstance(plan, Unsupported):
        return plan
    offline = host.replace({sources.FACT.name: {}})
    refused = other_host.against_plan(plan, brought.plan)
    refused = refused or other_host.against_python(plan, offline)
    return refused or _resolution(
        session,
        host,
        plan,
        planning.locked_from_bundle(plan, Lock(pins=pins)),
        _interpreter(host, plan.python),
    )


def _resolution(session: Session, host: Host, plan: Plan, lock: Lock, python: str) -> Resolution:
    if stored := resolution_cache.load(Path(session.prefix)):
        plan = plan.in_words_of(stored.plan)
    return Resolution(
        wish=_wish(host, session),
        tool=resolution_cache.tool(),
        plan=msgspec.structs.replace(plan, checks=promised_checks.choose_promised(plan, lock)),
        lock=lock,
        host_python=python,
    )


def _interpreter(host: Host, minor: str) -> str:
    """Return the newest interpreter of a minor version on this host; "" if uv is to fetch one."""
    paths = (
        os.path.expanduser(python.path or "")
        for python in host.known(pythons.FACT) or ()
        if python.version.startswith(f"{minor}.")
    )
    return next((path for path in paths if os.access(path, os.X_OK)), "")
