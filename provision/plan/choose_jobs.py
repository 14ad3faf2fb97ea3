"""The number of nvcc processes that compile flash-attn at once, by cores and memory."""

from __future__ import annotations

from typing import Final

import msgspec

# Measured: the largest file (backward, head dimension 256) takes 7.0 GB, a forward one 4.4. Ninja
# decides which files compile at the same time, so every process counts as the largest.
PROCESS_GB: Final = 7.0
REST_GB: Final = 1.0  # ninja, the start of the linker, other processes
CPU_HOURS: Final = 2.7  # of one architecture; the catalogue has the figure of its source release
TOOLKIT_GB: Final = 5.0  # measured: torch for CUDA 13, nvcc and headers
# Estimated: objects and temporary files; a published library of four architectures has 1 GB.
DISK_GB_PER_ARCH: Final = 2.0


class Jobs(msgspec.Struct, frozen=True, kw_only=True):
    """The parallelism of a build: `jobs` is MAX_JOBS, `threads` is NVCC_THREADS."""

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
    """Return the jobs whose peak fits into memory.

    Return the reason and the way out where not even one file can be compiled.
    """
    memory = available_gb if limit_gb is None else min(available_gb, limit_gb)
    # More processes than memory allows would be killed after an hour of compiling.
    processes = min(cores, int((memory - REST_GB) / PROCESS_GB))
    if processes < 1:
        return _too_little(available_gb, limit_gb)
    jobs = min(processes, files)
    # Threads help only where there are more processes than files.
    threads = max(1, min(arches, processes // jobs))
    parallel = jobs * threads
    return Jobs(
        jobs=jobs,
        threads=threads,
        peak_gb=parallel * PROCESS_GB,
        hours=cpu_hours_per_arch * arches / parallel,
    )


def disk_gb(arches: int) -> float:
    """Return the disk space that a build needs while it runs."""
    return TOOLKIT_GB + DISK_GB_PER_ARCH * arches


def _too_little(available_gb: float, limit_gb: float | None) -> str:
    if limit_gb is not None and limit_gb < available_gb:
        have, fix = f"this control group allows {limit_gb:.1f} GB more", "raise its limit"
    else:
        have, fix = f"this host has {available_gb:.1f} GB free", "free some memory"
    return (
        f"compiling one file needs {PROCESS_GB:.0f} GB beside {REST_GB:.0f} GB for everything"
        f" else; {have}: {fix}"
        ", or build on another host and bring the wheel with `./setup.sh wheels import`"
    )
