"""Checks that processes may lock enough memory for NCCL over InfiniBand or RoCE."""

from __future__ import annotations

from . import _host
from ._contract import Context
from ._host import Observation

# Argued, not measured: NCCL locks its buffers, and the usual default limit of 8 MiB is too low.
_LEAST_MIB = 1024
_HINT = (
    "docker run --ulimit memlock=-1; LimitMEMLOCK=infinity in a unit; "
    "memlock in /etc/security/limits.conf"
)


def look(context: Context) -> Observation:
    devices = _host.fact(context.facts, "rdma")
    memlock = _host.fact(context.facts, "limits")["memlock"]
    evidence = {"rdma_devices": devices, "memlock_bytes": memlock}
    if not devices:
        return Observation(
            [], "no InfiniBand or RoCE device here: locked memory is not needed", evidence
        )
    limit = memlock["soft"]
    allowed = "without limit" if limit is None else f"up to {limit / 2**20:.0f} MiB"
    holds, problems = f"processes may lock memory {allowed}", []
    if limit is not None and limit < _LEAST_MIB * 2**20:
        problems.append(f"{holds}, and NCCL locks its buffers for {', '.join(devices)}")
    return Observation(problems, holds, evidence, _HINT)


CHECK = _host.check(
    look,
    title="Locked memory",
    proves="on hosts with InfiniBand or RoCE, processes may lock the memory that NCCL registers",
    weight="should",
    needs=_host.SEVERAL,
)
