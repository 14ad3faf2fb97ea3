"""The processes on the GPUs: id, program and GPU memory. Arguments and users are not read."""

from __future__ import annotations

import msgspec

from provision.host import nvml
from provision.host._model import ALL, Fact, Readings


class GpuProcess(msgspec.Struct, frozen=True, kw_only=True):
    """A process on one GPU; `name` is empty if it is not visible to us, as in another container."""

    id: str
    pid: int
    name: str = ""
    memory_mib: int | None = None


def parse(readings: Readings) -> tuple[GpuProcess, ...]:
    return tuple(
        GpuProcess(
            id=gpu,
            pid=process.pid,
            name=process.name,
            memory_mib=None if process.memory is None else process.memory >> 20,
        )
        for gpu, processes in nvml.answers(readings, "processes")
        for process in processes
    )


FACT: Fact[tuple[GpuProcess, ...]] = Fact(
    title="GPU processes", sources=(nvml.SOURCE,), parse=parse, moving=ALL
)
