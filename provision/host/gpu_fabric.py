"""How far each GPU has come with joining its NVLink fabric: completed, in progress, not started, not supported."""

from __future__ import annotations

import msgspec

from provision.host import nvml
from provision.host._model import Fact, Readings


class GpuFabric(msgspec.Struct, frozen=True, kw_only=True):
    """A GPU without such a fabric, or of Ampere, says "not supported" or nothing."""

    id: str
    state: str


def parse(readings: Readings) -> tuple[GpuFabric, ...]:
    return tuple(GpuFabric(id=gpu, state=said) for gpu, said in nvml.told(readings, "fabric"))


FACT: Fact[tuple[GpuFabric, ...]] = Fact(name="gpu_fabric", title="NVLink fabric", sources=(nvml.SOURCE,), parse=parse)
