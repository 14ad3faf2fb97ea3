"""The rules against a release of vLLM and against its wheels, for CUDA and CPU hosts alike.

A rule returns the reason as a sentence, or "" where it has none. The sentence is for a person who
asks why the newer release was not taken: it names the number of this host and the one needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from provision.catalog.rows import Catalogue, TorchRelease, VllmBuild, VllmRelease
from provision.plan.situation import Situation
from provision.plan.versions import allows, major, reaches, serves
from provision.settings import Settings


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A release of vLLM beside the torch that it pins, offered to one Python of one host."""

    release: VllmRelease
    torch: TorchRelease | None
    python: str
    situation: Situation
    catalogue: Catalogue


ReleaseRule: TypeAlias = Callable[[Offer], str]
WheelRule: TypeAlias = Callable[[VllmBuild, Offer], str]


def against_release(offer: Offer) -> str:
    """Return the first reason against all wheels of a release, or ""."""
    return next(filter(None, (rule(offer) for rule in RULES)), "")


def against_wheel(wheel: VllmBuild, offer: Offer) -> str:
    """Return the first reason against one wheel of a release, or ""."""
    return next(filter(None, (rule(wheel, offer) for rule in WHEEL_RULES)), "")


def other_vllm_requested(offer: Offer) -> str:
    settings = offer.situation.settings
    return (
        ""
        if settings.vllm == "latest" or allows(settings.vllm, offer.release.version)
        else not_requested(settings)
    )


def not_requested(settings: Settings) -> str:
    return f"the settings ask for vLLM {settings.vllm}"


def excluded(offer: Offer) -> str:
    for version in offer.situation.settings.excluded_vllm:
        if allows(version, offer.release.version):
            return f"`exclude_vllm: {version}` in the settings rules it out"
    return ""


def other_torch_requested(offer: Offer) -> str:
    # The local part (+cu129) names a wheel: candidates.torch_fits compares it.
    torch, pinned = offer.situation.settings.torch, offer.release.torch
    return (
        ""
        if torch == "auto" or allows(torch.partition("+")[0], pinned)
        else f"it pins torch {pinned}; the settings ask for torch {torch}"
    )


def torch_unknown(offer: Offer) -> str:
    return (
        ""
        if offer.torch
        else f"it pins torch {offer.release.torch}, which the catalogue does not know"
    )


def python_not_allowed(offer: Offer) -> str:
    return (
        ""
        if allows(offer.release.python, offer.python)
        else f"it needs Python {offer.release.python}, not {offer.python}"
    )


def torch_without_python(offer: Offer) -> str:
    # torch has one wheel per Python; those of vLLM are for every Python (abi3).
    if offer.torch is None or f"cp{offer.python.replace('.', '')}" in offer.torch.cpython:
        return ""
    return f"it pins torch {offer.torch.version}, which has no wheel for Python {offer.python}"


def dependencies_without_python(offer: Offer) -> str:
    # Pinned dependencies without wheels for a Python: no metadata states that before resolving.
    for row in offer.catalogue.rules:
        if (
            row.kind == "python"
            and row.machine in (None, offer.situation.machine)
            and allows(row.versions, offer.release.version)
            and not allows(row.value, offer.python)
        ):
            return f"{row.why} (Python {offer.python})"
    return ""


def no_code_for_any_gpu(wheel: VllmBuild, offer: Offer) -> str:
    # Without code for any GPU no other reason against this wheel matters, so this is asked first.
    capabilities = {gpu.cc or "" for gpu in offer.situation.gpus}
    if wheel.cuda is None or any(wheel.core and serves(wheel.core.sm, cc) for cc in capabilities):
        return ""
    return no_code(sorted(capabilities), "vLLM's kernels")


def other_cuda_requested(wheel: VllmBuild, offer: Offer) -> str:
    cuda = offer.situation.settings.cuda
    return (
        ""
        if wheel.cuda is None or cuda in ("auto", wheel.cuda)
        else f"built for CUDA {wheel.cuda}; the settings ask for CUDA {cuda}"
    )


def withdrawn(wheel: VllmBuild, offer: Offer) -> str:  # noqa: ARG001 - rules are called alike
    return "withdrawn by its publisher" if wheel.yanked else ""


def source_unavailable(wheel: VllmBuild, offer: Offer) -> str:
    # GitHub has the wheels of the vLLM index, too.
    sources = ("vllm", "github") if wheel.where == "vllm" else (wheel.where,)
    if any(offer.situation.sources[source] for source in sources):
        return ""
    return " and ".join(offer.situation.why_not(source) for source in sources)


def driver_too_old(wheel: VllmBuild, offer: Offer) -> str:
    # Any minor of a CUDA major runs with the first driver of that major (minor compatibility).
    drivers = {row.major: row.driver for row in offer.catalogue.cuda_major}
    needed, driver = drivers.get(major(wheel.cuda)), offer.situation.driver
    if wheel.cuda is None or (needed and driver and reaches(driver, needed)):
        return ""
    if needed is None:
        return f"the catalogue does not know which driver CUDA {wheel.cuda} needs"
    # The table has 580.0 where the whole branch is meant.
    least = needed.removesuffix(".0")
    return f"CUDA {wheel.cuda} needs driver {least} or newer; this host has {driver or 'none'}"


def glibc_too_old(wheel: VllmBuild, offer: Offer) -> str:
    situation = offer.situation
    # On musl there is no glibc at all, and that is the reason.
    if situation.missing_glibc or reaches(situation.glibc, wheel.glibc):
        return situation.missing_glibc
    return f"it needs glibc {wheel.glibc} ({wheel.glibc_why}); this host has {situation.glibc}"


def cpu_too_old(wheel: VllmBuild, offer: Offer) -> str:
    flags = offer.situation.vector_flags
    # Only x86_64 wheels need more than the base instructions; a description has no flags.
    return (
        ""
        if wheel.cuda or wheel.machine != "x86_64" or flags is None or "avx2" in flags
        else "its kernels need AVX2, which this CPU lacks"
    )


# A plan reports the first reason against a release and the first against each of its wheels. The
# settings go first: a release that the user does not want needs no other reason.
RULES: tuple[ReleaseRule, ...] = (
    other_vllm_requested,
    excluded,
    other_torch_requested,
    torch_unknown,
    python_not_allowed,
    torch_without_python,
    dependencies_without_python,
)
WHEEL_RULES: tuple[WheelRule, ...] = (
    no_code_for_any_gpu,
    other_cuda_requested,
    withdrawn,
    source_unavailable,
    driver_too_old,
    glibc_too_old,
    cpu_too_old,
)


def no_code(capabilities: list[str], where: str) -> str:
    return f"no machine code for {', '.join(capabilities)} in {where}"
