"""Memory errors of each GPU: uncorrected ECC errors, and rows remapped or waiting to be."""

from __future__ import annotations

import msgspec

from provision.host import nvml
from provision.host._model import Fact, Readings


class GpuMemoryErrors(nvml.MemoryErrors, frozen=True, kw_only=True):
    """Of the GPU with this id; None if it does not report it."""

    id: str


def parse(readings: Readings) -> tuple[GpuMemoryErrors, ...]:
    return tuple(
        GpuMemoryErrors(id=gpu, **msgspec.structs.asdict(errors))
        for gpu, errors in nvml.answers(readings, "memory_errors")
    )


FACT: Fact[tuple[GpuMemoryErrors, ...]] = Fact(
    title="GPU memory errors", sources=(nvml.SOURCE,), parse=parse
)
