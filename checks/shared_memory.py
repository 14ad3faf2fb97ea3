"""Checks that /dev/shm has room for the data that processes of several GPUs exchange."""

from __future__ import annotations

from . import _host
from ._contract import Context
from ._host import Observation

# Docker gives a container 64 MiB, too little for the buffers that NCCL shares between GPUs.
_TOTAL_GB, _FREE_GB = 1.0, 0.5


def look(context: Context) -> Observation:
    shm = _host.fact(context.facts, "shm")
    total, free = shm["total_gb"], shm["free_gb"]
    problems, hint = [], "ls -l /dev/shm: delete what killed processes left there"
    if total < _TOTAL_GB:
        problems.append(f"shared memory is {total * 1024:.0f} MiB, too little for several GPUs")
        hint = (
            "start the container with --shm-size=16g "
            "(Kubernetes: an emptyDir with medium: Memory at /dev/shm)"
        )
    elif free < _FREE_GB:
        problems.append(f"only {free * 1024:.0f} MiB of {total:.1f} GiB of shared memory are free")
    return Observation(
        problems, f"{free:.1f} of {total:.1f} GiB of shared memory are free", shm, hint
    )


CHECK = _host.check(
    look,
    title="Shared memory",
    proves="shared memory is large enough for several GPUs, and not full",
    weight="should",
    needs=_host.SEVERAL,
)
