"""The candidates of a CUDA host: a vLLM wheel, a torch wheel, and the GPUs that both run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from provision.catalog.rows import Catalogue, TorchBuild, TorchRelease, VllmBuild, VllmRelease
from provision.plan import rules
from provision.plan.situation import Situation
from provision.plan.versions import allows, major, minor, numbers, reaches, serves


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A vLLM wheel beside a torch wheel; `leaves` has the reason against each GPU left out."""

    release: VllmRelease
    build: VllmBuild
    torch_release: TorchRelease
    torch: TorchBuild
    python: str = ""
    runs: tuple[str, ...] = ()
    leaves: dict[str, str] = {}

    @property
    def name(self) -> str:
        return wheel_name(self.release, self.build)

    @property
    def torch_name(self) -> str:
        return wheel_name(self.torch_release, self.torch)


class Pairs(msgspec.Struct, frozen=True, kw_only=True):
    """The CUDA wheels of a release for one machine, and their candidates."""

    release: VllmRelease
    torch: TorchRelease | None
    wheels: tuple[VllmBuild, ...]
    candidates: tuple[Candidate, ...]


class Releases:
    """Every release, newest first, with its candidates for the GPUs of one host.

    Candidates depend on the GPUs alone. Advice searches the same releases under other drivers and
    Pythons, up to 25 times in one plan; so each release is paired once, when it is first reached.
    """

    def __init__(
        self, situation: Situation, catalogue: Catalogue, refused: Mapping[str, str]
    ) -> None:
        self.catalogue = catalogue
        self.refused = refused
        self._situation = situation
        self._pairs: list[Pairs] = []

    def __iter__(self) -> Iterator[Pairs]:
        for position, release in enumerate(self.catalogue.vllm):
            if position == len(self._pairs):
                self._pairs.append(_pairs(release, self._situation, self.catalogue))
            yield self._pairs[position]


def _pairs(release: VllmRelease, situation: Situation, catalogue: Catalogue) -> Pairs:
    """Pair the wheels of a release with every torch wheel of the same CUDA major."""
    pinned = next((row for row in catalogue.torch if row.version == release.torch), None)
    wheels = tuple(
        build for build in release.builds if build.cuda and build.machine == situation.machine
    )
    if pinned is None:
        return Pairs(release=release, torch=None, wheels=wheels, candidates=())
    # Once for each capability: most hosts have eight GPUs of a kind.
    by_rule = {
        capability: _by_rule(capability, release, pinned, catalogue)
        for capability in {gpu.cc or "" for gpu in situation.gpus}
    }
    # vLLM and torch load the same CUDA runtime: their majors must be equal.
    candidates = tuple(
        _with_gpus(
            Candidate(release=release, build=wheel, torch_release=pinned, torch=torch),
            situation,
            by_rule,
        )
        for wheel in wheels
        for torch in pinned.builds
        if torch.cuda and torch.machine == wheel.machine and major(torch.cuda) == major(wheel.cuda)
    )
    return Pairs(release=release, torch=pinned, wheels=wheels, candidates=candidates)


def _with_gpus(candidate: Candidate, situation: Situation, by_rule: dict[str, str]) -> Candidate:
    """Return a candidate with the GPUs that it runs and the reasons against the others."""
    against = {
        capability: _no_code(capability, candidate) or reason
        for capability, reason in by_rule.items()
    }
    reasons = {gpu.id: against[gpu.cc or ""] for gpu in situation.gpus}
    return msgspec.structs.replace(
        candidate,
        runs=tuple(gpu for gpu, reason in reasons.items() if not reason),
        leaves={gpu: reason for gpu, reason in reasons.items() if reason},
    )


def _no_code(capability: str, candidate: Candidate) -> str:
    core = candidate.build.core
    if core is None or not serves(core.sm, capability):
        return rules.no_code([capability], "vLLM's kernels")
    if not serves(candidate.torch.sm, capability):
        return rules.no_code([capability], f"torch {candidate.torch_name}")
    return ""


def _by_rule(
    capability: str, release: VllmRelease, torch: TorchRelease, catalogue: Catalogue
) -> str:
    """Return the first rule of the catalogue against a GPU, or ""."""
    for row in catalogue.rules:
        if row.kind == "capability" and allows(row.versions, release.version):
            if numbers(capability) < numbers(row.value):
                return f"{row.why}; this GPU has {capability}"
        elif row.kind == "triton" and capability in row.cc and allows(row.versions, torch.version):
            return f"{row.why} ({capability})"
    return ""


def torch_fits(torch: TorchBuild, situation: Situation) -> bool:
    """Return whether the settings, the sources and the glibc of a host admit a torch wheel."""
    return (
        # `torch: 2.13.0+cu129` names a variant; without one every variant is allowed.
        situation.settings.torch.partition("+")[2] in ("", torch.variant)
        and situation.sources[torch.where]
        and reaches(situation.glibc, torch.glibc)
    )


def without_torch(wheel: VllmBuild, pairs: Pairs, situation: Situation) -> str:
    """Return the first reason that leaves a vLLM wheel without any torch wheel beside it."""
    if pairs.torch is None:
        return ""  # the rule torch_unknown speaks of the whole release
    # The obstacles in the order in which a user can remove them.
    name = f"torch {pairs.torch.version} for CUDA {major(wheel.cuda)} on {situation.machine}"
    builds = [candidate.torch for candidate in pairs.candidates if candidate.build is wheel]
    if not builds:
        return f"there is no {name}"
    variant = situation.settings.torch.partition("+")[2]
    builds = [torch for torch in builds if variant in ("", torch.variant)]
    if not builds:
        return f"the settings ask for torch +{variant}; this wheel is for CUDA {wheel.cuda}"
    available = [torch for torch in builds if situation.sources[torch.where]]
    if not available:
        sources = dict.fromkeys(torch.where for torch in builds)
        return f"{name}: {' and '.join(situation.why_not(source) for source in sources)}"
    return f"{name} needs glibc {available[0].glibc}; this host has {situation.glibc}"


def wheel_name(release: VllmRelease | TorchRelease, build: VllmBuild | TorchBuild) -> str:
    """Return 0.32.0 for the wheel on PyPI and 0.32.0+cu129 for another variant."""
    return release.version if build.where == "pypi" else f"{release.version}+{build.variant}"


def preference(candidate: Candidate) -> tuple[bool, bool, bool, tuple[int, ...]]:
    """Return the rank among equals: vLLM's own CUDA, torch of that minor, PyPI, the newest CUDA."""
    return (
        # PyPI's wheel has the CUDA that the vLLM project chose.
        candidate.build.where == "pypi",
        minor(candidate.build.cuda or "") == minor(candidate.torch.cuda or ""),
        candidate.torch.where == "pypi",
        numbers(candidate.build.cuda or "") + numbers(candidate.torch.cuda or ""),
    )
