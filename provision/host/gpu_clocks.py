"""Clocks and power limit of each GPU: current, maximum, as set and as shipped."""

from __future__ import annotations

import msgspec

from provision.host import nvml
from provision.host._model import Fact, Readings


class GpuClocks(msgspec.Struct, frozen=True, kw_only=True):
    """In MHz and watts; None if the GPU does not report it."""

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
            sm=clocks.sm,
            sm_max=clocks.sm_max,
            application=clocks.application,
            application_default=clocks.application_default,
            power_w=_watts(clocks.power),
            power_default_w=_watts(clocks.power_default),
        )
        for gpu, clocks in nvml.answers(readings, "clocks")
    )


def _watts(milliwatts: int | None) -> float | None:
    return None if milliwatts is None else milliwatts / 1000


FACT: Fact[tuple[GpuClocks, ...]] = Fact(
    title="GPU clocks", sources=(nvml.SOURCE,), parse=parse, moving=("sm",)
)
