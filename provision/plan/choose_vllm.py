"""The newest vLLM that runs the GPUs asked for, with the reason against every newer one."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from provision.catalog.rows import Catalogue, VllmRelease
from provision.host.gpus import Gpu
from provision.plan._model import Refusal, Rejected
from provision.plan.rules import Candidate, judge, not_asked_for, preference
from provision.plan.situation import Situation
from provision.settings import Settings


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """The candidate taken, if any, and what stood against the releases before it.

    `enough` is false where no release runs what was asked for, and the candidate is the one that runs most of it.
    """

    candidate: Candidate | None
    rejected: tuple[Rejected, ...]
    enough: bool = True


def choose(
    situation: Situation,
    catalogue: Catalogue,
    python: str,
    usable: Collection[str],
    refusals: tuple[Refusal, ...] = (),
) -> Found:
    """Walk the releases from the newest; stop at the first that runs enough of the usable GPUs."""
    refused = of_vllm(refusals)
    rejected: list[Rejected] = []
    most: Candidate | None = None
    before_most = 0
    for release in catalogue.vllm:
        if release.version in refused:
            rejected.append(Rejected(candidate=release.version, reason=refused[release.version]))
            continue
        fit, against = judge(release, situation, catalogue, python)
        best = max(fit, key=lambda one: (_memory(one, situation, usable), preference(one)), default=None)
        if best and _enough(best, situation, usable):
            return Found(candidate=best, rejected=tuple(rejected))
        if best and _memory(best, situation, usable) > (_memory(most, situation, usable) if most else 0):
            most, before_most = best, len(rejected)
        rejected.append(Rejected(candidate=release.version, reason=_reason(release, fit, against, usable)))
    if most is None or situation.settings.gpus != "auto":
        return Found(candidate=None, rejected=tuple(rejected), enough=False)
    # Nothing reaches half of the memory: the most that anything runs is still better than nothing.
    return Found(candidate=most, rejected=tuple(rejected[:before_most]), enough=False)


def of_vllm(refusals: tuple[Refusal, ...]) -> dict[str, str]:
    """The releases of vLLM that were refused, and why."""
    return {one.version: one.reason for one in refusals if one.package == "vllm"}


def _enough(candidate: Candidate, situation: Situation, usable: Collection[str]) -> bool:
    asked = situation.settings.gpus
    if asked == "all":
        return len(candidate.runs) == len(situation.gpus) and set(candidate.runs) <= set(usable)
    if asked != "auto":
        return {str(gpu) for gpu in asked} <= set(candidate.runs) & set(usable)
    return 2 * _memory(candidate, situation, usable) >= sum(map(weight, situation.gpus)) > 0


def _memory(candidate: Candidate, situation: Situation, usable: Collection[str]) -> float:
    return sum(weight(gpu) for gpu in situation.gpus if gpu.id in candidate.runs and gpu.id in usable)


def weight(gpu: Gpu) -> float:
    """A GPU's memory; one whose memory nobody knows counts as 16 GB, so that it counts at all."""
    return gpu.memory_gb or 16.0


def _reason(release: VllmRelease, fit: list[Candidate], against: dict[str, str], usable: Collection[str]) -> str:
    """What stood against a release: against all of it, against its wheels, or the GPUs that they leave."""
    parts: dict[str, list[str]] = {}
    for wheel, reason in against.items():
        parts.setdefault(reason, []).extend([_label(wheel.removeprefix(release.version))] if wheel else [])
    for candidate in fit:
        for gpu, reason in candidate.leaves.items():
            label = _label(candidate.name.removeprefix(release.version))
            if gpu in usable and label not in parts.setdefault(reason, []):
                parts[reason].append(label)
    if len(parts) == 1:
        return next(iter(parts))
    return "; ".join(f"{', '.join(names)}: {reason}" if names else reason for reason, names in parts.items())


def _label(variant: str) -> str:
    return variant.lstrip("+") or "PyPI's wheel"


def asked_for(rejected: tuple[Rejected, ...], settings: Settings) -> tuple[Rejected, ...]:
    """Where the user named a release that cannot be had: what concerns that one, and nothing about all the others."""
    return tuple(one for one in rejected if one.reason != not_asked_for(settings)) or rejected


def grouped(rejected: tuple[Rejected, ...]) -> tuple[Rejected, ...]:
    """Neighbours with one reason become one line: "0.33.0 to 0.27.0"."""
    runs: list[tuple[str, str, str]] = []
    for one in rejected:
        if runs and runs[-1][2] == one.reason:
            runs[-1] = (runs[-1][0], one.candidate, one.reason)
        else:
            runs.append((one.candidate, one.candidate, one.reason))
    return tuple(
        Rejected(candidate=first if first == last else f"{first} to {last}", reason=reason)
        for first, last, reason in runs
    )
