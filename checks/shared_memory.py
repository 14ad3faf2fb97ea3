"""Whether /dev/shm has room for what several GPUs' processes hand to each other."""

from __future__ import annotations

from . import _host
from ._contract import Check, Context
from ._host import Found

_TOTAL_GB, _FREE_GB = 1.0, 0.5


def look(context: Context) -> Found:
    shm = _host.fact(context.facts, "shm")
    problems, hint = [], "ls -l /dev/shm: what killed processes left there may be deleted"
    if shm["total_gb"] < _TOTAL_GB:
        size = f"{shm['total_gb'] * 1024:.0f} MiB"
        problems.append(f"shared memory is {size}, too little for several GPUs")
        hint = "start the container with --shm-size=16g (Kubernetes: an emptyDir with medium: Memory at /dev/shm)"
    elif shm["free_gb"] < _FREE_GB:
        problems.append(f"of {shm['total_gb']:.1f} GiB of shared memory only {shm['free_gb'] * 1024:.0f} MiB are free")
    return Found(problems, f"{shm['free_gb']:.1f} of {shm['total_gb']:.1f} GiB of shared memory are free", shm, hint)


CHECK = Check(
    name="shared_memory",
    title="Shared memory",
    proves="shared memory is large enough for several GPUs, and not full",
    step=10,
    weight="should",
    on="host",
    profile="passive",
    deadline_s=20,
    needs=_host.SEVERAL,
    body=_host.judged(look),
)
