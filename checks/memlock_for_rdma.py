"""Whether processes may lock enough memory for NCCL over InfiniBand or RoCE."""

from __future__ import annotations

from . import _host
from ._contract import Check, Context
from ._host import Found

_LEAST_MIB = 1024


def look(context: Context) -> Found:
    devices = _host.fact(context.facts, "rdma")
    memlock = _host.fact(context.facts, "limits")["memlock"]
    evidence = {"rdma_devices": devices, "memlock_bytes": memlock}
    if not devices:
        return Found([], "no InfiniBand or RoCE device here: locked memory is not needed", evidence)
    soft = memlock["soft"]
    allowed = "without limit" if soft is None else f"up to {soft / 2**20:.0f} MiB"
    small = soft is not None and soft < _LEAST_MIB * 2**20
    said = f"processes may lock memory {allowed}"
    problems = [f"{said}, and NCCL locks its buffers for {', '.join(devices)}"] if small else []
    hint = "docker run --ulimit memlock=-1; LimitMEMLOCK=infinity in a unit; memlock in /etc/security/limits.conf"
    return Found(problems, said, evidence, hint)


CHECK = Check(
    name="memlock_for_rdma",
    title="Locked memory",
    proves="where there are InfiniBand or RoCE devices, processes may lock the memory that NCCL registers",
    step=10,
    weight="should",
    on="host",
    profile="passive",
    deadline_s=20,
    needs=_host.SEVERAL,
    body=_host.judged(look),
)
