"""The reasons why each GPU runs below its clocks at this moment."""

from __future__ import annotations

import msgspec

from provision.host import nvml
from provision.host._model import Fact, Readings

# The bits of nvmlClocksEventReasons.
_REASONS = {
    0x1: "idle",
    0x2: "application clocks",
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
    0x100: "display clocks",
}
_WITH_THE_LOAD = ("idle", "application clocks", "power cap", "sync boost", "display clocks")


class GpuThrottling(msgspec.Struct, frozen=True, kw_only=True):
    """`reasons` is empty if nothing holds the GPU back."""

    id: str
    reasons: tuple[str, ...] = ()


def parse(readings: Readings) -> tuple[GpuThrottling, ...]:
    return tuple(
        GpuThrottling(id=gpu, reasons=tuple(word for bit, word in _REASONS.items() if bits & bit))
        for gpu, bits in nvml.answers(readings, "throttling")
    )


FACT: Fact[tuple[GpuThrottling, ...]] = Fact(
    title="GPU throttling",
    sources=(nvml.SOURCE,),
    parse=parse,
    moving=_WITH_THE_LOAD,
)
