"""Warnings: what is true of a plan and should not be overlooked."""

from __future__ import annotations

from collections.abc import Iterator

from provision.plan._model import Attention
from provision.plan.choose_gpus import ranges
from provision.plan.candidates import Candidate
from provision.plan.situation import SOURCE_NAMES, Situation
from provision.plan.versions import reaches

_SMALL_SHM_GB = 1.0


def of_any(situation: Situation, python: str, disk_mb: int) -> Iterator[str]:
    """What a plan for GPUs and one for a CPU have in common."""
    yield from situation.warnings
    if situation.other_gpus and not situation.gpus:
        kinds = [f"an {name}" for name in dict.fromkeys(situation.other_gpus)]
        yield f"{', '.join(kinds)} {'is' if len(kinds) == 1 else 'are'} there; only NVIDIA GPUs are planned for"
    yield from _sources(situation)
    if python not in situation.found_pythons:
        how = "uv fetches it from GitHub"
        if not situation.sources["github"]:
            how = f"uv would fetch it from GitHub, but {situation.why_not('github')}: install it by other means"
        yield f"Python {python} was not found on this host; {how}"
    if situation.free_gb is not None and situation.free_gb * 1024 < disk_mb:
        need, have = f"{disk_mb / 1000:.1f} GB", f"{situation.free_gb * 1.074:.1f} GB"
        yield f"{situation.prefix} has {have} free, and {need} are needed there"
    if situation.prefix_trouble:
        where = f"{situation.prefix} ({situation.prefix_trouble})"
        yield f"nothing can be installed in {where}: name another place with --prefix DIR"
    if " " in situation.prefix:
        yield (
            f"there is a space in {situation.prefix}, and torch.compile hands paths to the compiler without quotes: it "
            f"fails there; name another place with --prefix DIR"
        )


def _sources(situation: Situation) -> Iterator[str]:
    if not situation.sources["pypi"]:
        why = situation.why_not("pypi")
        yield f"vLLM's dependencies come from PyPI, but {why}: name a mirror (sources.pypi) or bring them"
    if situation.nobody_asked:
        names = ", ".join(SOURCE_NAMES.values())
        yield f"nobody asked from that host whether {names} answer: the plan takes it that they do"


def of_gpus(
    candidate: Candidate, situation: Situation, used: tuple[str, ...], attention: tuple[Attention, ...]
) -> Iterator[str]:
    """What a plan for GPUs has besides."""
    build = candidate.build
    if build.moe_glibc and not reaches(situation.glibc, build.moe_glibc):
        yield (
            f"vLLM's mixture-of-experts kernels need glibc {build.moe_glibc}, this host has {situation.glibc}: "
            "dense models run, mixture-of-experts models fail (vllm#18967)"
        )
    bases = (("vLLM", build.basis), ("torch", candidate.torch.basis))
    inferred = " and ".join(name for name, basis in bases if basis == "inferred")
    if inferred:
        yield f"what architectures the build of {inferred} carries is inferred, nobody has read it; check before use"
    for warning in dict.fromkeys(one.warning for one in attention if one.warning):
        yield f"GPU {ranges(one.gpu for one in attention if one.warning == warning)}: {warning}"
    slices = [gpu.id for gpu in situation.gpus if gpu.id in used and ":" in gpu.id]
    if slices:
        yield f"GPU {ranges(slices)}: MIG slices; one vLLM process can use one slice, no tensor parallel"
    virtual = [gpu.id for gpu in situation.gpus if gpu.id in used and gpu.vgpu]
    if virtual:
        yield f"GPU {ranges(virtual)}: virtual; its host's driver and licence limit it"
    if situation.shm_gb is not None and situation.shm_gb < _SMALL_SHM_GB and len(used) > 1:
        size = f"{situation.shm_gb * 1024:.0f} MiB"
        yield f"shared memory is {size}, too little for several GPUs: start the container with --shm-size=16g"
