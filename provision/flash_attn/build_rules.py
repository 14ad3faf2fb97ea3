"""Decide if flash-attn can be compiled here, for which architectures, and estimate the cost."""

from __future__ import annotations

from provision.catalog.rows import Catalogue, FlashAttnSource, TorchRelease
from provision.plan import choose_jobs, choose_toolkit
from provision.plan.situation import Situation
from provision.plan.versions import newer, numbers


def arches(source: FlashAttnSource, capabilities: tuple[str, ...]) -> tuple[str, ...]:
    """Return the architectures to compile for: only those that the GPUs here need."""
    # Some GPUs run the code of another architecture: 8.9 runs code for 8.0.
    targets = {source.served_by.get(capability, capability) for capability in capabilities}
    return tuple(sorted(targets, key=numbers))


def obstacle(
    source: FlashAttnSource,
    capabilities: tuple[str, ...],
    cuda: str,
    torch: TorchRelease,
    situation: Situation,
    catalogue: Catalogue,
) -> str:
    """Return why flash-attn cannot be compiled here; "" if it can."""
    if situation.settings.flash_attn.build == "no":
        return "no published wheel can be used, and config says flash_attn.build: no"
    if not situation.sources["pypi"]:
        return f"its source release is on PyPI: {situation.why_not('pypi')}"
    for capability in capabilities:
        target = source.served_by.get(capability, capability)
        if target not in source.sm:
            return (
                f"flash-attn {source.version} cannot be compiled for {capability} "
                f"(it knows {' '.join(source.sm)}): SDPA is used there"
            )
        least = source.cuda_min_for.get(target, source.cuda_min)
        if newer(least, cuda):
            return (
                f"compiling for {target} needs CUDA {least}; this torch has {cuda}: "
                "SDPA is used there"
            )
    if situation.compilers is not None:  # a described host may not name its compilers
        # torch's headers can need a newer C++ standard than the source release asks for.
        toolkit = choose_toolkit.choose(
            cuda, max(source.cxx, torch.cxx), situation.compilers, situation.toolkits, catalogue
        )
        if isinstance(toolkit, str):
            return toolkit
    jobs = _jobs(source, arches(source, capabilities), situation)
    return jobs if isinstance(jobs, str) else ""


def describe(
    source: FlashAttnSource,
    capabilities: tuple[str, ...],
    torch: TorchRelease,
    situation: Situation,
) -> str:
    """Describe the estimated cost: "for 9.0, about 2.7 CPU hours: about 0.3 h here with …"."""
    targets = arches(source, capabilities)
    text = f"for {' '.join(targets)}"
    if torch.cxx > source.cxx:
        text += (
            f" as C++{torch.cxx} (its own setup asks for C++{source.cxx}, which this torch refuses)"
        )
    text += f", about {source.cpu_hours_per_arch * len(targets):.1f} CPU hours"
    plan = _jobs(source, targets, situation)
    if not isinstance(plan, choose_jobs.Jobs):
        return text
    threads = f" of {plan.threads} threads" if plan.threads > 1 else ""
    jobs = f"{plan.jobs} job{'s' * (plan.jobs != 1)}{threads}"
    return (
        f"{text}: about {plan.hours:.1f} h here with {jobs}, {plan.peak_gb:.0f} GB of memory, "
        f"{choose_jobs.disk_gb(len(targets)):.0f} GB of disk"
    )


def _jobs(
    source: FlashAttnSource, targets: tuple[str, ...], situation: Situation
) -> choose_jobs.Jobs | str | None:
    """Return how many files are compiled at once; None if cores or memory are not known."""
    if situation.cores is None or situation.available_gb is None:
        return None
    return choose_jobs.choose(
        situation.cores,
        situation.available_gb,
        situation.memory_limit_gb,
        len(targets),
        cpu_hours_per_arch=source.cpu_hours_per_arch,
    )
