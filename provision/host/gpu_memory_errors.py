"""Memory errors of each GPU: what ECC could not correct, and rows that are, or wait to be, taken out of use."""

from __future__ import annotations

import msgspec

from provision.host import nvml
from provision.host._model import Fact, Readings


class GpuMemoryErrors(nvml.MemoryErrors, frozen=True, kw_only=True):
    """Of the GPU with this id; None where it does not tell."""

    id: str


def parse(readings: Readings) -> tuple[GpuMemoryErrors, ...]:
    return tuple(
        GpuMemoryErrors(id=gpu, **msgspec.structs.asdict(said)) for gpu, said in nvml.told(readings, "memory_errors")
    )


FACT: Fact[tuple[GpuMemoryErrors, ...]] = Fact(
    name="gpu_memory_errors", title="GPU memory errors", sources=(nvml.SOURCE,), parse=parse
)
