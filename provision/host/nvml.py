"""The state of NVML, and the typed shape of its answers."""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

from provision.host._model import Fact, Missing, Probe, Readings, Unread

SOURCE = Probe("nvml")

State = Literal[
    "ok",
    "version mismatch",
    "driver not loaded",
    "no library",
    "no permission",
    "timed out",
    "failed",
]

_STATES: dict[int, State] = {
    4: "no permission",
    9: "driver not loaded",
    12: "no library",
    18: "version mismatch",
}
_ERROR = re.compile(r"NVML error (\d+)")


class NvmlSlice(msgspec.Struct, frozen=True, kw_only=True):
    """A MIG instance; its name ends with its profile."""

    index: int
    name: str | None = None
    memory: int | None = None


class MemoryErrors(msgspec.Struct, frozen=True, kw_only=True):
    """`uncorrected` since the driver was loaded, `uncorrected_ever` in the GPU's life."""

    uncorrected: int | None = None
    uncorrected_ever: int | None = None
    rows_correctable: int | None = None
    rows_uncorrectable: int | None = None
    remap_pending: int | None = None
    remap_failed: int | None = None
    pages_pending: int | None = None


class Clocks(msgspec.Struct, frozen=True, kw_only=True):
    """In MHz, power in mW: current, maximum, as set and as shipped."""

    sm: int | None = None
    sm_max: int | None = None
    application: int | None = None
    application_default: int | None = None
    power: int | None = None
    power_default: int | None = None


class NvmlProcess(msgspec.Struct, frozen=True, kw_only=True):
    """A process on a GPU; `memory` in bytes."""

    pid: int
    name: str = ""
    memory: int | None = None


class GpuAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One source's report of one GPU; a refused field is None, with the reason in `errors`."""

    index: int
    name: str | None = None
    bus_id: str | None = None
    cc: str | None = None
    memory: int | None = None
    mig: bool | None = None
    ecc: bool | None = None
    persistence: bool | None = None
    virtualization: int | None = None
    width: int | None = None
    width_max: int | None = None
    generation: int | None = None
    generation_max: int | None = None
    memory_errors: MemoryErrors | None = None
    clocks: Clocks | None = None
    throttling: int | None = None
    processes: tuple[NvmlProcess, ...] | None = None
    fabric: str | None = None
    slices: tuple[NvmlSlice, ...] = ()
    errors: dict[str, str] = {}


class NvmlLink(msgspec.Struct, frozen=True, kw_only=True):
    """The path between two GPUs, in the words of the topology matrix."""

    a: int
    b: int
    kind: str


class NvmlDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The child's output. `library` is the name of the loaded file, even if it then failed."""

    library: str | None = None
    driver: str | None = None
    cuda: str | None = None
    gpus: tuple[GpuAnswer, ...] = ()
    links: tuple[NvmlLink, ...] = ()
    nvswitch: bool = False


class Nvml(msgspec.Struct, frozen=True, kw_only=True):
    """`cuda` is the newest CUDA that the driver's library runs."""

    state: State
    detail: str = ""
    cuda: str | None = None


def document(readings: Readings) -> NvmlDocument:
    """Return NVML's answer, also if it failed after it was loaded; empty if there was none."""
    text = readings.get(SOURCE).text
    return msgspec.json.decode(text, type=NvmlDocument) if text else NvmlDocument()


def answers(readings: Readings, field: str) -> list[tuple[str, Any]]:
    """Return GPU and answer for those that report `field`; raise Unread if none does."""
    readings.text(SOURCE)
    gpus = document(readings).gpus
    answers = [
        (str(gpu.index), answer) for gpu in gpus if (answer := getattr(gpu, field)) is not None
    ]
    if gpus and not answers:
        raise Unread(
            Missing(
                why="not read",
                detail=next(
                    (gpu.errors[field] for gpu in gpus if field in gpu.errors),
                    "not asked when this was recorded",
                ),
            )
        )
    return answers


def parse(readings: Readings) -> Nvml:
    reading = readings.get(SOURCE)
    if SOURCE.key not in readings.by_key:
        raise Unread(Missing(why="not read", detail=reading.detail))
    if reading.outcome == "ok":
        return Nvml(state="ok", cuda=document(readings).cuda)
    code = _ERROR.match(reading.detail)
    state: State = "timed out" if reading.outcome == "timed out" else "failed"
    if code:
        state = _STATES.get(int(code[1]), "failed")
    return Nvml(state=state, detail=reading.detail)


FACT: Fact[Nvml] = Fact(title="NVML", sources=(SOURCE,), parse=parse)
