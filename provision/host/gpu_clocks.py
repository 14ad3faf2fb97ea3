"""The clocks and the power limit of each GPU: now, at most, as set and as it came."""

from __future__ import annotations

import msgspec

from provision.host import nvml
from provision.host._model import Fact, Readings


class GpuClocks(msgspec.Struct, frozen=True, kw_only=True):
    """In MHz and watts; None where the GPU does not tell."""

    id: str
    sm: int | None = None
    sm_max: int | None = None
    application: int | None = None
    application_default: int | None = None
    power_w: float | None = None
    power_default_w: float | None = None


def parse(readings: Readings) -> tuple[GpuClocks, ...]:
    return tuple(
        GpuClocks(
            id=gpu,
            sm=said.sm,
            sm_max=said.sm_max,
            application=said.application,
            application_default=said.application_default,
            power_w=_watts(said.power),
            power_default_w=_watts(said.power_default),
        )
        for gpu, said in nvml.told(readings, "clocks")
    )


def _watts(milliwatts: int | None) -> float | None:
    return None if milliwatts is None else milliwatts / 1000


FACT: Fact[tuple[GpuClocks, ...]] = Fact(
    name="gpu_clocks", title="GPU clocks", sources=(nvml.SOURCE,), parse=parse, moving=("sm",)
)
