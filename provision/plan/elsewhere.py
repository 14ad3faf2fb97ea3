"""Building here for a host elsewhere: what counts of which of the two, and what keeps this one from building."""

from __future__ import annotations

from typing import Any

from packaging.version import Version

from provision.host import glibc, installer_config, machine, pythons, sources
from provision.host._model import Fact, Host
from provision.plan._model import Plan, Reasons, Unsupported


def described(target: Host, builder: Host) -> Host:
    """The target, with the builder's sources; what both must load is for the older C library of the two."""
    ours: tuple[Fact[Any], ...] = (sources.FACT, installer_config.FACT)
    facts: dict[str, Any] = {fact.name: builder.value(fact) for fact in ours}
    here, there = builder.known(glibc.FACT), target.known(glibc.FACT)
    if here and there:
        facts[glibc.FACT.name] = min(here, there, key=Version)
    return target.but(facts)


def refused(target: Host, builder: Host) -> Unsupported | None:
    """Machine code of the one does not run on the other."""
    here, there = builder.known(machine.FACT), target.known(machine.FACT)
    if there is None or here == there:
        return None
    return _not_here(f"the host to build for is {there}, this one is {here or 'unknown'}", f"build on {there}")


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
