"""Warnings: facts about a plan that must not be overlooked."""

from __future__ import annotations

from collections.abc import Iterator

from provision.catalog.rows import Catalogue
from provision.plan import other_accelerators
from provision.plan._model import Attention
from provision.plan.candidates import Candidate
from provision.plan.choose_gpus import ranges
from provision.plan.dead_gpus import IN_WINDOWS
from provision.plan.situation import SOURCE_NAMES, Situation
from provision.plan.versions import major, minor, numbers, reaches

_SMALL_SHM_GB = 1.0  # a container has 64 MiB by default


def of_any(situation: Situation, python: str, disk_mb: int, catalogue: Catalogue) -> Iterator[str]:
    """Yield the warnings that CUDA and CPU plans share."""
    yield from situation.warnings
    others = [device for device in situation.accelerators if device.kind != "jetson"]
    if others:
        uses = "NVIDIA GPUs" if situation.gpus else "the CPU"
        found = " and ".join(other_accelerators.names(others, catalogue))
        yield f"this host has {found}, too: the plan uses {uses} only"
    yield from _sources(situation)
    if python not in situation.host_pythons:
        how = "uv downloads it from GitHub"
        if not situation.sources["github"]:
            how = f"uv cannot download it, since {situation.why_not('github')}: install it yourself"
        yield f"Python {python} is missing on this host; {how}"
    if situation.free_gb is not None and situation.free_gb * 1024 < disk_mb:
        # free_gb counts in GiB, the plan in MB: both are shown in GB.
        need, have = f"{disk_mb / 1000:.1f} GB", f"{situation.free_gb * 1.074:.1f} GB"
        yield f"the environment needs {need}; {situation.prefix} has {have} free"
    if situation.prefix_trouble:
        where = f"{situation.prefix} ({situation.prefix_trouble})"
        yield f"nothing can be installed in {where}: choose another folder with --prefix DIR"
    if " " in situation.prefix:
        yield (
            f"torch.compile fails below {situation.prefix}, since it passes paths with a space to"
            " the compiler without quotes: choose another folder with --prefix DIR"
        )


def _sources(situation: Situation) -> Iterator[str]:
    if not situation.sources["pypi"]:
        why = situation.why_not("pypi")
        yield (
            f"vLLM's dependencies come from PyPI, but {why}: set sources.pypi to a mirror, or"
            " bring a bundle"
        )
    silent = [
        words
        for name, words in SOURCE_NAMES.items()
        if name != "pypi"
        and not situation.sources[name]
        and getattr(situation.settings.sources, name) is not False
    ]
    if silent:
        yield f"no answer from {', '.join(silent)}: this plan does without"
    if situation.sources_assumed:
        names = ", ".join(SOURCE_NAMES.values())
        yield (
            f"the recording does not say whether {names} answer on that host: the plan assumes"
            " that they do"
        )


def of_cpu(situation: Situation) -> Iterator[str]:
    """Yield the warnings of a CPU plan."""
    if situation.wsl and not situation.gpus and situation.settings.profile != "cpu":
        yield (
            f"{IN_WINDOWS}: if Windows has an NVIDIA GPU, install NVIDIA's driver there; then"
            " nvidia-smi shows the GPU here, too, and the plan uses it"
        )
    compilers = situation.compilers
    if compilers is not None and not any(found.language == "c++" for found in compilers):
        yield (
            "there is no C++ compiler: vLLM cannot compile a model and needs --enforce-eager, which"
            " is slower; as root: apt-get install g++ (Debian, Ubuntu), dnf install gcc-c++"
            " (Fedora, RHEL)"
        )


def of_gpus(
    candidate: Candidate,
    situation: Situation,
    used: tuple[str, ...],
    attention: tuple[Attention, ...],
    catalogue: Catalogue,
) -> Iterator[str]:
    """Yield the warnings of a CUDA plan."""
    build = candidate.build
    if build.moe_glibc and not reaches(situation.glibc, build.moe_glibc):
        yield (
            f"vLLM's mixture-of-experts kernels need glibc {build.moe_glibc}; this host has"
            f" {situation.glibc}: "
            "dense models run, mixture-of-experts models fail (vllm#18967)"
        )
    # Not every wheel of the vLLM index was read: the others' architectures follow build lists.
    inferred = " and ".join(
        name
        for name, basis in (("vLLM", build.basis), ("torch", candidate.torch.basis))
        if basis == "inferred"
    )
    if inferred:
        yield (
            f"the architectures of {inferred} are inferred from build lists, not read in the"
            " published files"
        )
    for warning in dict.fromkeys(choice.warning for choice in attention if choice.warning):
        gpus = ranges(choice.gpu for choice in attention if choice.warning == warning)
        yield f"GPU {gpus}: {warning}"
    yield from _of_triton(candidate, situation, catalogue)
    yield from _of_mixed_gpus(situation, used)
    slices = [gpu.id for gpu in situation.gpus if gpu.id in used and ":" in gpu.id]
    if slices:
        yield (
            f"GPU {ranges(slices)}: MIG slices; a vLLM process uses one slice, without tensor"
            " parallelism"
        )
    virtual = [gpu.id for gpu in situation.gpus if gpu.id in used and gpu.vgpu]
    if virtual:
        yield f"GPU {ranges(virtual)}: a virtual GPU; the driver and licence of its host limit it"
    if situation.shm_gb is not None and situation.shm_gb < _SMALL_SHM_GB and len(used) > 1:
        size = f"{situation.shm_gb * 1024:.0f} MiB"
        yield (
            f"several GPUs need 1 GiB of shared memory or more; this host has {size}: start the"
            " container with --shm-size=16g"
        )


def _of_triton(candidate: Candidate, situation: Situation, catalogue: Catalogue) -> Iterator[str]:
    """Yield the warning of kernels that Triton assembles for a CUDA newer than the driver's."""
    # Every Triton of the catalogue brings the assembler of CUDA 12, beside torch for CUDA 11, too.
    needed = next((row.driver for row in catalogue.cuda_major if row.major == "12"), None)
    driver = situation.driver or ""
    if needed is None or major(candidate.build.cuda) != "11" or reaches(driver, needed):
        return
    own = next((kit.path for kit in situation.toolkits if minor(kit.version or "") == "11.8"), "")
    # A pasted text tells of the toolkit and not of its folder.
    ptxas = f"{own}/bin/ptxas" if own.startswith("/") else "the ptxas of a CUDA 11.8 toolkit"
    yield (
        f"Triton's assembler is that of CUDA 12, and driver {driver} may refuse its kernels"
        ' ("device kernel image is invalid", vllm#5713, vllm#18580; not tried here): set'
        f" TRITON_PTXAS_PATH to {ptxas}, or install driver {needed} or newer"
    )


def _of_mixed_gpus(situation: Situation, used: tuple[str, ...]) -> Iterator[str]:
    """Yield the warning of used GPUs with different capabilities, and a way to use one kind."""
    kinds: dict[str, list[str]] = {}
    memory: dict[str, float] = {}
    for gpu in situation.gpus:
        if gpu.id in used and gpu.cc:
            kinds.setdefault(gpu.cc, []).append(gpu.id)
            memory[gpu.cc] = memory.get(gpu.cc, 0) + (gpu.memory_gb or 1)
    if len(kinds) < 2:
        return
    have = ", ".join(f"GPU {ranges(ids)} {cc}" for cc, ids in kinds.items())
    most = kinds[max(kinds, key=lambda cc: (memory[cc], numbers(cc)))]
    listed = ",".join(gpu if gpu.isdecimal() else f'"{gpu}"' for gpu in most)
    yield (
        f"mixed compute capabilities ({have}): one vLLM process chooses kernels by its first GPU,"
        " and they may fail on the others (vllm#6213): start one process for each kind, or plan"
        f" for one kind with --set 'gpus=[{listed}]'"
    )
