"""The newest vLLM that runs the GPUs asked for, and the reason against every newer release."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from provision.catalog.rows import VllmBuild
from provision.host.gpus import Gpu
from provision.plan import choose_gpus, rules
from provision.plan._model import Refusal, Rejected
from provision.plan.candidates import (
    Candidate,
    Pairs,
    Releases,
    preference,
    torch_fits,
    wheel_name,
    without_torch,
)
from provision.plan.situation import Situation
from provision.settings import Settings


class VllmChoice(msgspec.Struct, frozen=True, kw_only=True):
    """The candidate taken, or None.

    `enough` is false where no release runs the requested GPUs; the candidate runs most of them.
    """

    candidate: Candidate | None
    enough: bool

    @property
    def name(self) -> str:
        return self.candidate.name if self.candidate else ""


def choose(
    releases: Releases, situation: Situation, python: str, usable: frozenset[str]
) -> VllmChoice:
    """Walk the releases from the newest; stop at the first that runs enough of the usable GPUs."""
    # The GPUs that must all run.
    requested: frozenset[str] = (
        choose_gpus.requested(situation) if situation.settings.gpus != "auto" else frozenset()
    )
    if not requested <= usable:
        return VllmChoice(candidate=None, enough=False)
    memory = {gpu.id: weight(gpu) for gpu in situation.gpus if gpu.id in usable}

    def runs(candidate: Candidate) -> float:
        return sum(memory.get(gpu, 0) for gpu in candidate.runs)

    best, most = None, 0.0
    goal = 0.0 if requested else sum(map(weight, situation.gpus)) / 2
    for pairs in releases:
        # The rules cost more than this comparison: ask them only where the answer can matter.
        better = [
            candidate
            for candidate in pairs.candidates
            if requested.issubset(candidate.runs) and runs(candidate) > most
        ]
        # A refused release stays out: the resolver has rejected it in an earlier round.
        if better and pairs.release.version not in releases.refused:
            fitting = list(_fitting(better, _offer(pairs, releases, situation, python)))
            if fitting:
                best = max(fitting, key=lambda candidate: (runs(candidate), preference(candidate)))
                most = runs(best)
                if most >= goal:
                    return VllmChoice(candidate=best, enough=True)
    # Where no release reaches half of the memory, the one that runs most of it is better than none.
    return VllmChoice(candidate=best, enough=False)


def _offer(pairs: Pairs, releases: Releases, situation: Situation, python: str) -> rules.Offer:
    return rules.Offer(
        release=pairs.release,
        torch=pairs.torch,
        python=python,
        situation=situation,
        catalogue=releases.catalogue,
    )


def _fitting(candidates: list[Candidate], offer: rules.Offer) -> Iterator[Candidate]:
    if rules.against_release(offer):
        return
    # Candidates with the same wheel are neighbours: its rules are asked once.
    wheel: VllmBuild | None = None
    for candidate in candidates:
        if candidate.build is not wheel:
            wheel = candidate.build
            reason = rules.against_wheel(wheel, offer)
        if not reason and torch_fits(candidate.torch, offer.situation):
            yield candidate


def rejections(
    releases: Releases,
    situation: Situation,
    python: str,
    usable: frozenset[str],
    taken: Candidate | None,
) -> tuple[Rejected, ...]:
    """Return every release newer than the one taken, with the reason against it."""
    rejected: list[Rejected] = []
    for pairs in releases:
        version = pairs.release.version
        if taken and version == taken.release.version:
            break
        rejected.append(
            Rejected(
                candidate=version,
                reason=releases.refused.get(version)
                or _reason(pairs, _offer(pairs, releases, situation, python), usable),
            )
        )
    return tuple(rejected)


def _reason(pairs: Pairs, offer: rules.Offer, usable: frozenset[str]) -> str:
    """Join the reasons against a release, against its wheels, and against GPUs.

    The wheels are looked at even where the whole release is ruled out: one reason must not hide
    another. The exception is a release that the user did not ask for.
    """
    whole = rules.against_release(offer)
    if rules.other_vllm_requested(offer) or not pairs.wheels:
        return whole or f"no CUDA build for {offer.situation.machine}"
    # Reasons are keys, so that wheels and GPUs with the same reason share one sentence.
    parts: dict[str, list[str]] = {whole: []} if whole else {}
    fitting: list[Candidate] = []
    for wheel in pairs.wheels:
        reason = rules.against_wheel(wheel, offer)
        candidates = [
            candidate
            for candidate in pairs.candidates
            if candidate.build is wheel and torch_fits(candidate.torch, offer.situation)
        ]
        reason = reason or ("" if candidates else without_torch(wheel, pairs, offer.situation))
        if reason:
            parts.setdefault(reason, []).append(_label(wheel_name(pairs.release, wheel)))
        elif not whole:
            fitting += candidates
    for candidate in fitting:
        for gpu, reason in candidate.leaves.items():
            label = _label(candidate.name)
            if gpu in usable and label not in parts.setdefault(reason, []):
                parts[reason].append(label)
    if len(parts) == 1:
        return next(iter(parts))
    return "; ".join(
        f"{', '.join(names)}: {reason}" if names else reason for reason, names in parts.items()
    )


def _label(name: str) -> str:
    return name.partition("+")[2] or "PyPI's wheel"


def weight(gpu: Gpu) -> float:
    """Return a GPU's memory in GB."""
    return gpu.memory_gb or 16.0  # a GPU of unknown memory must count, too


def refused_releases(refusals: tuple[Refusal, ...]) -> dict[str, str]:
    """Return the releases of vLLM that the resolver refused, with its reasons."""
    return {refusal.version: refusal.reason for refusal in refusals if refusal.package == "vllm"}


def of_request(rejected: tuple[Rejected, ...], settings: Settings) -> tuple[Rejected, ...]:
    """Keep the reasons against the release that the user named, where one was named and exists."""
    not_requested = rules.not_requested(settings)
    return (
        tuple(rejection for rejection in rejected if rejection.reason != not_requested) or rejected
    )


def grouped(rejected: tuple[Rejected, ...]) -> tuple[Rejected, ...]:
    """Join neighbours with the same reason into one line: "0.33.0 to 0.27.0"."""
    # First candidate, last candidate, reason.
    runs: list[tuple[str, str, str]] = []
    for rejection in rejected:
        if runs and runs[-1][2] == rejection.reason:
            runs[-1] = (runs[-1][0], rejection.candidate, rejection.reason)
        else:
            runs.append((rejection.candidate, rejection.candidate, rejection.reason))
    return tuple(
        Rejected(candidate=first if first == last else f"{first} to {last}", reason=reason)
        for first, last, reason in runs
    )
