"""Compiling flash-attn from its source release: for which architectures, what stands against it, what it costs."""

from __future__ import annotations

from provision.catalog.rows import Catalogue, FlashAttnSource, TorchRelease
from provision.plan import choose_jobs, choose_toolkit
from provision.plan.situation import Situation
from provision.plan.versions import newer, numbers


def arches(source: FlashAttnSource, capabilities: tuple[str, ...]) -> tuple[str, ...]:
    """Those of this host only: 8.9 is served by code for 8.0."""
    return tuple(sorted({source.served_by.get(one, one) for one in capabilities}, key=numbers))


def against(
    source: FlashAttnSource,
    capabilities: tuple[str, ...],
    cuda: str,
    torch: TorchRelease,
    situation: Situation,
    catalogue: Catalogue,
) -> str:
    """Why it cannot be compiled; "" where nothing stands against it."""
    if situation.settings.flash_attn.build == "no":
        return "no published wheel can be used, and config says flash_attn.build: no"
    if not situation.sources["pypi"]:
        return f"its source release is on PyPI: {situation.why_not('pypi')}"
    for capability in capabilities:
        target = source.served_by.get(capability, capability)
        if target not in source.sm:
            knows = f"it knows {' '.join(source.sm)}"
            return f"flash-attn {source.version} cannot be compiled for {capability} ({knows}): SDPA is used there"
        least = source.cuda_min_for.get(target, source.cuda_min)
        if newer(least, cuda):
            return f"compiling for {target} needs CUDA {least}; this torch has {cuda}: SDPA is used there"
    if situation.compilers is not None:
        cxx = max(source.cxx, torch.cxx)
        toolkit = choose_toolkit.choose(cuda, cxx, situation.compilers, situation.toolkits, catalogue)
        if isinstance(toolkit, str):
            return toolkit
    here = _jobs(source, arches(source, capabilities), situation)
    return here if isinstance(here, str) else ""


def how(source: FlashAttnSource, capabilities: tuple[str, ...], torch: TorchRelease, situation: Situation) -> str:
    """ "for 9.0, about 2.7 CPU hours", and how long that takes here, where the host is known; all of it estimated."""
    targets = arches(source, capabilities)
    said = f"for {' '.join(targets)}"
    if torch.cxx > source.cxx:
        said += f" as C++{torch.cxx} (its own setup asks for C++{source.cxx}, which this torch refuses)"
    said += f", about {source.cpu_hours_per_arch * len(targets):.1f} CPU hours"
    here = _jobs(source, targets, situation)
    if not isinstance(here, choose_jobs.Jobs):
        return said
    jobs = f"{here.jobs} job{'s' * (here.jobs != 1)}{f' of {here.threads} threads' if here.threads > 1 else ''}"
    disk = choose_jobs.disk_gb(len(targets))
    return f"{said}: about {here.hours:.1f} h here with {jobs}, {here.peak_gb:.0f} GB of memory, {disk:.0f} GB of disk"


def _jobs(source: FlashAttnSource, targets: tuple[str, ...], situation: Situation) -> choose_jobs.Jobs | str | None:
    """None where nobody knows the host's cores or memory."""
    if situation.cores is None or situation.available_gb is None:
        return None
    cores, memory, limit = situation.cores, situation.available_gb, situation.memory_limit_gb
    return choose_jobs.choose(cores, memory, limit, len(targets), cpu_hours_per_arch=source.cpu_hours_per_arch)
