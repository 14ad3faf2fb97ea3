"""How many nvcc processes compile flash-attn at once: as many as cores, free memory and the control group allow."""

from __future__ import annotations

from typing import Final

import msgspec

# Measured: the largest file (backward, head dimension 256) takes 7.0 GB, a forward one 4.4. Which files
# are compiled at the same time is ninja's matter, so every process counts as the largest.
PROCESS_GB: Final = 7.0
REST_GB: Final = 1.0  # ninja, the linker's start, whoever else is there
CPU_HOURS: Final = 2.7  # of one architecture; the catalogue has the figure of its source release
TOOLKIT_GB: Final = 5.0  # measured: torch for CUDA 13, nvcc and headers
DISK_GB_PER_ARCH: Final = (
    2.0  # estimated: objects and temporary files; a published library of four architectures has 1 GB
)


class Jobs(msgspec.Struct, frozen=True, kw_only=True):
    """`jobs` files at once (MAX_JOBS), `threads` architectures of each at once (NVCC_THREADS)."""

    jobs: int
    threads: int
    peak_gb: float
    hours: float


def choose(
    cores: int,
    available_gb: float,
    limit_gb: float | None,
    arches: int,
    files: int = 73,
    cpu_hours_per_arch: float = CPU_HOURS,
) -> Jobs | str:
    """The jobs, never with a higher peak than there is memory; or why not one file can be compiled, and the way out."""
    memory = available_gb if limit_gb is None else min(available_gb, limit_gb)
    processes = min(cores, int((memory - REST_GB) / PROCESS_GB))
    if processes < 1:
        return _too_little(available_gb, limit_gb)
    jobs = min(processes, files)
    threads = max(1, min(arches, processes // jobs))  # of use only where there are more processes than files
    at_once = jobs * threads
    return Jobs(jobs=jobs, threads=threads, peak_gb=at_once * PROCESS_GB, hours=cpu_hours_per_arch * arches / at_once)


def disk_gb(arches: int) -> float:
    """What a build takes on disk while it goes on."""
    return TOOLKIT_GB + DISK_GB_PER_ARCH * arches


def _too_little(available_gb: float, limit_gb: float | None) -> str:
    if limit_gb is not None and limit_gb < available_gb:
        there, way = f"this control group may take {limit_gb:.1f} GB more", "raise its limit"
    else:
        there, way = f"{available_gb:.1f} GB are free", "free some"
    return (
        f"compiling one file takes {PROCESS_GB:.0f} GB beside {REST_GB:.0f} GB for everything else, and {there}: {way}"
        ", or build on another host and bring the wheel with `./setup.sh wheels import`"
    )
