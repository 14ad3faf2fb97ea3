"""Fetching and building here for a host elsewhere: what counts of which of the two, and what stands against it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from provision.host import cpu, glibc, installer_config, machine, memory, pythons, sources
from provision.host._model import Fact, Host
from provision.plan._model import Plan, Reasons, Unsupported
from provision.settings import Settings

OURS: Final[tuple[Fact[Any], ...]] = (sources.FACT, installer_config.FACT)


def fetched_here(target: Host, builder: Host) -> Host:
    """The target, with the sources that this host can fetch from."""
    return target.but({fact.name: builder.value(fact) for fact in OURS})


def built_here(target: Host, builder: Host) -> Host:
    """The same; what both must load is for the older C library of the two, and what compiles here does it with ours."""
    facts: dict[str, Any] = {memory.FACT.name: builder.value(memory.FACT)}
    if ours := builder.known(cpu.FACT):
        theirs = target.known(cpu.FACT) or cpu.Cpu()
        facts[cpu.FACT.name] = msgspec.structs.replace(theirs, cores=ours.cores, quota=ours.quota)
    here, there = builder.known(glibc.FACT), target.known(glibc.FACT)
    if here and there:
        facts[glibc.FACT.name] = min(here, there, key=Version)
    return fetched_here(target, builder).but(facts)


def refused(target: Host, builder: Host) -> Unsupported | None:
    """Machine code of the one does not run on the other."""
    here, there = builder.known(machine.FACT), target.known(machine.FACT)
    if there is None or here == there:
        return None
    return _not_here(f"the host to build for is {there}, this one is {here or 'unknown'}", f"build on {there}")


def unlike(fresh: Plan, brought: Plan) -> Unsupported | None:
    """What was brought is not what the plan for this host asks for."""
    machine, _, libc = brought.platform.partition("-manylinux_2_")
    here, _, newest = fresh.platform.partition("-manylinux_2_")
    same = all(fresh.packages[name] == brought.packages[name] for name in ("vllm", "torch"))
    if same and fresh.python == brought.python and machine == here and int(libc) <= int(newest):
        return None
    reason = f"it brings {_said(brought)}; this host takes {_said(fresh)}"
    advice = "record this host (./setup.sh host -o FILE), and make a bundle for it: ./setup.sh bundle --host FILE"
    return Unsupported(unsupported=(Reasons(subject="this bundle", reasons=(reason,)),), advice=(advice,))


def unlike_wish(settings: Settings, brought: Plan, versions: Mapping[str, str]) -> Unsupported | None:
    """What is asked for here, and was not where the bundle was made; `versions` are those that it brings."""
    vllm = brought.packages["vllm"]
    version = vllm.version if vllm else ""
    reasons = []
    if settings.vllm != "latest" and not SpecifierSet(f"=={settings.vllm}").contains(version, prereleases=True):
        reasons.append(f"it brings vLLM {version}, and vllm: {settings.vllm} is asked for")
    if settings.python not in ("auto", brought.python):
        reasons.append(f"it is for Python {brought.python}, and python: {settings.python} is asked for")
    for wanted in map(Requirement, settings.extra_packages):
        there = versions.get(canonicalize_name(wanted.name))
        if there is None or not wanted.specifier.contains(there, prereleases=True):
            brings = f"{wanted.name} {there}" if there else f"no {wanted.name}"
            reasons.append(f"it brings {brings}, and extra_packages asks for {wanted}")
    if not reasons:
        return None
    advice = "make the bundle with these settings, or take them out here"
    return Unsupported(unsupported=(Reasons(subject="this bundle", reasons=tuple(reasons)),), advice=(advice,))


def _said(plan: Plan) -> str:
    chosen = ", ".join(f"{name} {one.version}" for name in ("vllm", "torch") if (one := plan.packages[name]))
    return f"{chosen}, Python {plan.python}, {plan.platform}"


def without_its_python(plan: Plan, builder: Host) -> Unsupported | None:
    """An environment is made by the very interpreter that it is for; uv fetches one from GitHub where it may."""
    here = {".".join(found.version.split(".")[:2]) for found in builder.known(pythons.FACT) or ()}
    answers = builder.known(sources.FACT) or {}
    if plan.python in here or ("github" in answers and answers["github"].answers):
        return None
    there = ", ".join(sorted(here, key=Version, reverse=True)) or "none"
    return _not_here(
        f"the plan is for Python {plan.python}, here is {there}; GitHub, where uv would take it from, does not answer",
        f"install Python {plan.python} here, or say in the description which Python the host is to have",
    )


def _not_here(reason: str, advice: str) -> Unsupported:
    return Unsupported(unsupported=(Reasons(subject="building here", reasons=(reason,)),), advice=(advice,))
