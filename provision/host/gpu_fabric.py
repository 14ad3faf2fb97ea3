"""The state of each GPU in its NVLink fabric, such as completed or in progress."""

from __future__ import annotations

import msgspec

from provision.host import nvml
from provision.host._model import Fact, Readings


class GpuFabric(msgspec.Struct, frozen=True, kw_only=True):
    """A GPU without a fabric, or of Ampere, reports "not supported" or nothing."""

    id: str
    state: str


def parse(readings: Readings) -> tuple[GpuFabric, ...]:
    return tuple(GpuFabric(id=gpu, state=state) for gpu, state in nvml.answers(readings, "fabric"))


FACT: Fact[tuple[GpuFabric, ...]] = Fact(title="NVLink fabric", sources=(nvml.SOURCE,), parse=parse)
