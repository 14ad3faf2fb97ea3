"""Who computes on the GPUs: process id, program and GPU memory; arguments and users are not read."""

from __future__ import annotations

import msgspec

from provision.host import nvml
from provision.host._model import ALL, Fact, Readings


class GpuProcess(msgspec.Struct, frozen=True, kw_only=True):
    """On the GPU with this id; `name` is empty where the process is not ours to see, as another container's."""

    id: str
    pid: int
    name: str = ""
    memory_mib: int | None = None


def parse(readings: Readings) -> tuple[GpuProcess, ...]:
    return tuple(
        GpuProcess(id=gpu, pid=one.pid, name=one.name, memory_mib=None if one.memory is None else one.memory >> 20)
        for gpu, said in nvml.told(readings, "processes")
        for one in said
    )


FACT: Fact[tuple[GpuProcess, ...]] = Fact(
    name="gpu_processes", title="GPU processes", sources=(nvml.SOURCE,), parse=parse, moving=ALL
)
