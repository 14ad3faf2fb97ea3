"""Compare a plan with the packages that a text shows installed."""

from __future__ import annotations

import re
from collections.abc import Iterator

from packaging.version import InvalidVersion, Version

from provision.catalog.rows import Catalogue
from provision.host.facts_read import ReadFacts
from provision.plan._model import Plan
from provision.plan.versions import major, reaches


def compare(plan: Plan, read: ReadFacts, catalogue: Catalogue) -> Iterator[str]:
    """Yield the versions there beside those of the plan, and the reason for older ones."""
    there = {name: version for name in ("vllm", "torch") if (version := getattr(read, name))}
    if not there:
        return
    planned = {name: plan.package(name).version for name in there}
    versions = ", ".join(f"{name} {version}" for name, version in there.items())
    changes = [
        f"{name} {planned[name]}" for name, version in there.items() if version != planned[name]
    ]
    yield f"{versions}; the plan has {', '.join(changes) if changes else 'the same'}"
    if "vllm" in there:
        yield from _because_older(there["vllm"], planned["vllm"], plan)
    yield from _forward_compatibility(read, catalogue)


def _because_older(there: str, planned: str, plan: Plan) -> Iterator[str]:
    if not _is_older(planned, there):
        return
    reasons = (
        rejection.reason
        for decision in plan.decisions
        if decision.subject == "vllm"
        for rejection in decision.rejected
        if _covers(rejection.candidate, there)
    )
    because = next(reasons, "no published build of it is known here")
    yield f"the plan is older than vllm {there}, which runs there, because: {because}"


def _forward_compatibility(read: ReadFacts, catalogue: Catalogue) -> Iterator[str]:
    """Yield the likely reason why torch could use a GPU with a driver too old for its CUDA."""
    built = re.search(r"\+cu(\d\d)\d+$", read.torch or "")
    if not (built and read.driver and read.cuda_available):
        return
    needed = next((row.driver for row in catalogue.cuda_major if row.major == built[1]), None)
    if needed and not reaches(read.driver, needed) and major(needed) != major(read.driver):
        yield (
            f"torch {read.torch} could use the GPU with driver {read.driver}, which is older than"
            f" {needed}: likely that process had NVIDIA's forward compatibility (cuda-compat) in"
            " its library path; it is for data-centre GPUs and for some driver branches, and the"
            " plan does not rely on it"
        )


def _covers(candidate: str, version: str) -> bool:
    """Return whether a candidate such as "0.33.0 to 0.27.0" has this version."""
    newest, _, oldest = candidate.partition(" to ")
    return not _is_older(newest, version) and not _is_older(version, oldest or newest)


def _is_older(version: str, than: str) -> bool:
    try:
        return Version(version.partition("+")[0]) < Version(than.partition("+")[0])
    except InvalidVersion:
        return False
