"""From what the user wishes to what is to be brought up: as resolved before, where nothing has changed, else anew."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from provision.catalog import rows
from provision.display import progress
from provision.engine import bring_up, bundle, environments, fetch, promised_checks, resolution_cache, resolve, uv
from provision.engine.resolution_cache import Wanted
from provision.errors import SourceFailed, WrongUsage
from provision.flash_attn import wheel_store
from provision.host import _installer, installer_config, pythons, record, sources
from provision.host._model import Host
from provision.host.installer_config import InstallerConfig
from provision.host.sources import SourceAnswer
from provision.plan import other_host
from provision.plan._model import Plan, Unsupported
from provision.plan.make import make
from provision.session import inputs
from provision.settings import FlashAttnSettings, Settings, SourceSettings
from provision.steps.model import Lock
from provision.tasks import Task


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """A run's beginnings: settings, places, its id, and whom to tell what is done before the engine is at work."""

    settings: Settings
    target: Host | None = None  # where the environment is for another host than this one
    bundle: str | None = None  # where it comes out of a folder, and not over a network
    prefix: str
    logs: str
    run: str
    say: Callable[[str], None]
    tasks: tuple[Task, ...] = ()  # the user's, to be carried out when it is current


def made(options: argparse.Namespace) -> Wish:
    settings = inputs.settings(options)
    root, run = Path(inputs.checkout()), environments.new_id()
    prefix, logs = root / settings.prefix, root / settings.logs
    if {":", ","} & {*str(prefix)}:  # of PATH, and of uv's --find-links: here it is the checkout's own path
        raise WrongUsage(
            "no environment can be made below a folder with a colon or comma in its name",
            where=str(prefix),
            hint="move the checkout, or name another place: --prefix DIR",
        )
    target = inputs.described(options) if getattr(options, "host", None) else None
    return Wish(
        settings=settings,
        target=target,
        bundle=getattr(options, "bundle", None),
        prefix=str(prefix),
        logs=str(logs / run),
        run=run,
        say=progress.notes(options),
    )


def standing_prefix(wish: Wish) -> Path:
    """For verbs that make nothing: a mistyped place is named, and not made."""
    if not Path(wish.prefix).is_dir():
        raise WrongUsage(
            "there is no environment", where=wish.prefix, hint="./setup.sh makes one; --prefix DIR names it"
        )
    return Path(wish.prefix)


def resolved(wish: Wish, *, upgrade: bool = False) -> tuple[Wanted | Unsupported, bool]:
    """What is to be brought up, and whether that is news: another set of packages than the last time."""
    last = known(wish)
    if wish.bundle is not None:
        brought = _brought(wish, Path(wish.bundle))
        return brought, _is_news(brought, last)
    if last and last.tool == resolution_cache.tool() and not upgrade:
        return last, False
    try:
        found = _anew(wish)
    except SourceFailed as failure:
        if last is None or upgrade:
            raise
        wish.say(f"this version of vllm-ready would plan anew, but {failure.what}; the plan in use is kept")
        return last, False
    return found, _is_news(found, last)


def _is_news(found: Wanted | Unsupported, last: Wanted | None) -> bool:
    """By names, versions and hashes: that the same file lies at another address is none."""
    return not (last and isinstance(found, Wanted) and found.lock.text == last.lock.text)


def known(wish: Wish) -> Wanted | None:
    """What was resolved for this very wish on this very host before; costs no network and a tenth of a second."""
    seen = wish.target or Host(
        record.record(network=False, paths={}, sources={}, facts=resolution_cache.FACTS).readings
    )
    last = resolution_cache.load(Path(wish.prefix))
    return _with_a_python(last) if last and last.wish == resolution_cache.wish(seen, wish.settings) else None


def _with_a_python(last: Wanted) -> Wanted | None:
    """With another interpreter of its version where the host's own is gone; without any it must be planned anew."""
    if not last.host_python or os.access(last.host_python, os.X_OK):
        return last
    facts = record.record(network=False, paths={}, sources={}, facts=(pythons.FACT,)).readings
    another = _interpreter(Host(facts), last.plan.python)
    return msgspec.structs.replace(last, host_python=another) if another else None


def _anew(wish: Wish) -> Wanted | Unsupported:
    """Record, plan and resolve; a refusal of the index goes back to the planner."""
    builder = here(wish)
    if wish.target and (refused := other_host.refused(wish.target, builder)):
        return refused
    found = planned(wish, other_host.built_here(wish.target, builder) if wish.target else builder)
    if isinstance(found, Unsupported):
        return found
    plan, lock = found
    if lacking := other_host.without_its_python(plan, builder):
        return lacking
    return _wanted(wish, wish.target or builder, plan, lock, _interpreter(builder, plan.python))


def here(wish: Wish) -> Host:
    """This host, with what answers it."""
    wish.say("looking at this host and at what answers")
    paths, addresses = inputs.paths(wish.settings), inputs.addresses(wish.settings)
    return Host(record.record(network=True, paths=paths, sources=addresses).readings)


def planned(wish: Wish, host: Host) -> tuple[Plan, Lock] | Unsupported:
    """The newest plan for a host that can be resolved here, and its lock with all sizes."""
    settings = wish.settings
    wish.say("resolving the newest vLLM that can be installed here")
    with tempfile.TemporaryDirectory(prefix="vllm-ready-") as folder:
        found = resolve.plan_and_resolve(
            host, settings, known_wheels(wish), bring_up.own_uv(), lambda plan: environment(wish, plan), Path(folder)
        )
    if isinstance(found, Unsupported):
        complain_of_silence(host, settings)
        return found
    plan, lock = found
    return plan, wheel_store.locked(Path(wish.prefix), plan, fetch.sized(lock, environment(wish, plan)))


def known_wheels(wish: Wish) -> rows.Catalogue:
    """What is published, and what this prefix has of its own."""
    return wheel_store.catalogue(Path(wish.prefix), rows.load())


def _brought(wish: Wish, folder: Path) -> Wanted | Unsupported:
    """Out of a bundle: what it brings, where the plan for this host is the same."""
    brought = bundle.load(folder)
    pins = bundle.lock(brought, folder).pins  # flash-attn too, where it fits this host
    if other := other_host.unlike_wish(wish.settings, brought.plan, {pin.name: pin.version for pin in pins}):
        return other
    taken = record.record(network=False, paths=inputs.paths(wish.settings), sources={})
    host = Host(taken.readings).but(
        {
            sources.FACT.name: {name: SourceAnswer(answers=yes) for name, yes in brought.answered.items()},
            installer_config.FACT.name: InstallerConfig(local_wheels=brought.local_wheels),
        }
    )
    settings = msgspec.structs.replace(
        wish.settings,
        vllm=uv.planned(brought.plan, "vllm").version.partition("+")[0],
        python=brought.plan.python,
        sources=msgspec.convert(brought.answered, type=SourceSettings),
        extra_packages=(),
        flash_attn=_allowing(wish.settings.flash_attn, brought.kept),
    )
    plan = make(host, settings, wheel_store.among(brought.kept, rows.load()))
    if isinstance(plan, Unsupported):
        return plan
    refused = other_host.unlike(plan, brought.plan) or other_host.without_its_python(
        plan, host.but({sources.FACT.name: {}})
    )
    lock = Lock(pins=tuple(pin for pin in pins if pin.name != "flash-attn" or pin.wheel.file == plan.flash_attn.wheel))
    return refused or _wanted(wish, host, plan, lock, _interpreter(host, plan.python))


def _allowing(settings: FlashAttnSettings, brought: tuple[wheel_store.Kept, ...]) -> FlashAttnSettings:
    """A third party's wheel was allowed where the bundle was made."""
    third_party = settings.third_party or any(one.third_party for one in brought)
    return msgspec.structs.replace(settings, third_party=third_party)


def _wanted(wish: Wish, host: Host, plan: Plan, lock: Lock, python: str) -> Wanted:
    return Wanted(
        wish=resolution_cache.wish(host, wish.settings),
        tool=resolution_cache.tool(),
        plan=msgspec.structs.replace(plan, checks=promised_checks.promised(plan, lock)),
        lock=lock,
        host_python=python,
    )


def complain_of_silence(host: Host, settings: Settings) -> None:
    """Where no source at all answers, what is missing is the network and not another host."""
    answers = host.known(sources.FACT) or {}
    asked = [answers[name] for name in answers if getattr(settings.sources, name) is not False]
    if asked and not any(answer.answers for answer in asked):
        raise SourceFailed(
            f"no package source answers: {asked[0].detail}",
            hint="look at the network, the proxy and the certificates; nothing was changed, run the same command again",
        )


def environment(wish: Wish, plan: Plan) -> dict[str, str]:
    """What uv runs with, credentials included: kept in memory only."""
    return uv.environment(wish.settings, plan, _installer.installer_config(), wish.prefix)


def asked(wish: Wish, resolved: Wanted) -> bring_up.Asked:
    return bring_up.Asked(
        wanted=resolved,
        prefix=wish.prefix,
        environment=environment(wish, resolved.plan),
        run=wish.run,
        logs=wish.logs,
        keep=wish.settings.keep,
        places=inputs.paths(wish.settings),
        elsewhere=wish.target is not None,
    )


def _interpreter(host: Host, minor: str) -> str:
    """The newest interpreter of a minor version on this host; none where uv is to fetch one."""
    for found in host.known(pythons.FACT) or ():
        path = os.path.expanduser(found.path or "")
        if found.version.startswith(f"{minor}.") and os.access(path, os.X_OK):
            return path
    return ""
