"""Builds for another host: facts that this host replaces, and reasons against building here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from provision.host import (
    compilers,
    cpu,
    cuda_toolkits,
    glibc,
    installer_config,
    machine,
    memory,
    pythons,
    sources,
)
from provision.host._model import Fact, Host
from provision.plan._model import Plan, Reasons, Unsupported
from provision.plan.versions import minor
from provision.settings import Settings

_SOURCES: Final[tuple[Fact[Any], ...]] = (sources.FACT, installer_config.FACT)


def with_sources_of(target: Host, builder: Host) -> Host:
    """Return the target with the sources that this host can download from."""
    return target.replace({fact.name: builder.value(fact) for fact in _SOURCES})


def with_builder(target: Host, builder: Host) -> Host:
    """Return the target with sources, tools, cores, memory of this host and the older glibc."""
    # Compilers run here, and both hosts must load the result.
    here: tuple[Fact[Any], ...] = (memory.FACT, compilers.FACT, cuda_toolkits.FACT)
    facts: dict[str, Any] = {fact.name: builder.value(fact) for fact in here}
    if processor := builder.known(cpu.FACT):
        facts[cpu.FACT.name] = msgspec.structs.replace(
            target.known(cpu.FACT) or cpu.Cpu(), cores=processor.cores, quota=processor.quota
        )
    ours, theirs = builder.known(glibc.FACT), target.known(glibc.FACT)
    if ours and theirs:
        facts[glibc.FACT.name] = min(ours, theirs, key=Version)
    return with_sources_of(target, builder).replace(facts)


def against_machine(target: Host, builder: Host) -> Unsupported | None:
    """Return the refusal of a target with another machine, whose code does not run here."""
    ours, theirs = builder.known(machine.FACT), target.known(machine.FACT)
    if theirs is None or ours == theirs:
        return None
    return _not_here(
        f"the target host is {theirs}, this host is {ours or 'unknown'}",
        f"build on a host that is {theirs}",
    )


def against_plan(fresh: Plan, brought: Plan) -> Unsupported | None:
    """Return the refusal of a bundle whose plan does not suit this host."""
    # A wheel for an older glibc runs on a newer one.
    its_machine, _, its_glibc = brought.platform.partition("-manylinux_2_")
    our_machine, _, our_glibc = fresh.platform.partition("-manylinux_2_")
    same = all(fresh.packages[name] == brought.packages[name] for name in ("vllm", "torch"))
    suits = its_machine == our_machine and int(its_glibc) <= int(our_glibc)
    if same and suits and fresh.python == brought.python:
        return None
    reason = f"it contains {_summary(brought)}; this host needs {_summary(fresh)}"
    way_out = (
        "record this host (./setup.sh host -o FILE)"
        " and make a bundle for it (./setup.sh bundle --host FILE)"
    )
    return Unsupported(
        unsupported=(Reasons(subject="this bundle", reasons=(reason,)),), advice=(way_out,)
    )


def against_settings(
    settings: Settings, brought: Plan, versions: Mapping[str, str]
) -> Unsupported | None:
    """Return the refusal of a bundle, with packages `versions`, that the settings do not accept."""
    vllm = brought.packages["vllm"]
    version = vllm.version if vllm else ""
    reasons = []
    # A bare version means exactly it, as in config.yaml.
    if settings.vllm != "latest" and not SpecifierSet(f"=={settings.vllm}").contains(
        version, prereleases=True
    ):
        reasons.append(f"it contains vLLM {version}; the settings ask for vllm: {settings.vllm}")
    if settings.python not in ("auto", brought.python):
        reasons.append(
            f"it is for Python {brought.python}; the settings ask for python: {settings.python}"
        )
    for requirement in map(Requirement, settings.extra_packages):
        name, bundled = requirement.name, versions.get(canonicalize_name(requirement.name))
        if bundled is None or not requirement.specifier.contains(bundled, prereleases=True):
            content = f"{name} {bundled}" if bundled else f"no {name}"
            reasons.append(f"it contains {content}; extra_packages asks for {requirement}")
    if not reasons:
        return None
    return Unsupported(
        unsupported=(Reasons(subject="this bundle", reasons=tuple(reasons)),),
        advice=("make the bundle with these settings, or remove them here",),
    )


def _summary(plan: Plan) -> str:
    chosen = ", ".join(
        f"{name} {package.version}"
        for name in ("vllm", "torch")
        if (package := plan.packages[name])
    )
    return f"{chosen}, Python {plan.python}, {plan.platform}"


def against_python(plan: Plan, builder: Host) -> Unsupported | None:
    """Return the refusal where this host lacks the planned Python and uv cannot download it."""
    installed = {minor(python.version) for python in builder.known(pythons.FACT) or ()}
    answers = builder.known(sources.FACT) or {}
    if plan.python in installed or ("github" in answers and answers["github"].answers):
        return None
    have = ", ".join(sorted(installed, key=Version, reverse=True)) or "none"
    return _not_here(
        f"the plan needs Python {plan.python}, this host has {have}, and uv cannot download it:"
        " GitHub does not answer",
        f"install Python {plan.python} here, or write another Python into the description",
    )


def _not_here(reason: str, advice: str) -> Unsupported:
    return Unsupported(
        unsupported=(Reasons(subject="building here", reasons=(reason,)),), advice=(advice,)
    )
