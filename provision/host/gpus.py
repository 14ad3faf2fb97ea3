"""The NVIDIA GPUs that the driver shows, in PCI order."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from provision.host import _gpus_of_the_kernel as kernel
from provision.host import _nvidia_smi, driver, nvml, pci_gpus
from provision.host._model import Fact, Missing, Readings, Unread

_MOST = 1024  # in one host; more is a damaged or a hostile text
_VGPU_MODE = 2  # NVML_GPU_VIRTUALIZATION_MODE_VGPU
_VGPU_NAME = re.compile(r"\bGRID |-\d+(?:CME|[QCAB])$")


class MigSlice(msgspec.Struct, frozen=True, kw_only=True):
    """One MIG instance; its id is "gpu:slice"."""

    id: str
    profile: str | None = None
    memory_gb: float | None = None


class PcieLink(msgspec.Struct, frozen=True, kw_only=True):
    """The current width and generation of a link, and the maximum of GPU and slot together.

    `width_of_gpu` and `generation_of_gpu` are set where the GPU alone could do more.
    """

    width: int | None = None
    width_max: int | None = None
    generation: int | None = None
    generation_max: int | None = None
    width_of_gpu: int | None = None
    generation_of_gpu: int | None = None


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """One GPU. None means that no source reported the value."""

    id: str
    name: str
    cc: str | None = None
    memory_gb: float | None = None
    bus_id: str | None = None
    mig: bool | None = None
    slices: tuple[MigSlice, ...] = ()
    ecc: bool | None = None
    persistence: bool | None = None
    link: PcieLink | None = None
    vgpu: bool = False
    integrated: bool = False


def is_integrated(name: str) -> bool:
    return bool(kernel.INTEGRATED.search(name))


# A share of a GPU that a hypervisor assigns.
def is_vgpu(name: str) -> bool:
    return bool(_VGPU_NAME.search(name))


def _answers(readings: Readings) -> list[tuple[str, tuple[nvml.GpuAnswer, ...]]]:
    """Return each source with its answer, the most trusted first."""
    answers_nvml = readings.optional(nvml.SOURCE) is not None
    return [
        (source, gpus)
        for source, gpus in (
            ("NVML", nvml.document(readings).gpus if answers_nvml else None),
            ("nvidia-smi", _nvidia_smi.gpus(readings)),
            ("/proc/driver/nvidia", kernel.by_proc(readings)),
            ("the board", kernel.by_board(readings)),
        )
        if gpus is not None
    ]


def parse(readings: Readings) -> tuple[Gpu, ...]:
    answers = _answers(readings)
    if not answers:
        return _without_an_answer(readings)
    (_, trusted), *others = answers
    if len(trusted) > _MOST:
        raise Unread(Missing(why="unparsable", detail=f"more than {_MOST} GPUs"))
    links, ports = (kernel.bus_links(readings, files) for files in (kernel.LINKS, kernel.PORTS))
    memory = kernel.memory_of_the_host(readings)
    completed = (_completed(gpu, [gpus for _, gpus in others]) for gpu in trusted)
    return tuple(_gpu(gpu, gpu.name, links, ports, memory) for gpu in completed if gpu.name)


def _without_an_answer(readings: Readings) -> tuple[Gpu, ...]:
    """Return no GPU if a driver is loaded.

    An NVML that failed does not prove that there is none.
    """
    reading = readings.get(nvml.SOURCE)
    if reading.outcome != "ok" and reading.outcome != "absent":  # noqa: PLR1714 - narrows the type
        raise Unread(Missing(why=reading.outcome, detail=reading.detail))
    if readings.get(driver.MODULE).outcome == "ok" or readings.get(driver.PROC).outcome == "ok":
        return ()
    raise Unread(Missing(why="absent", detail="no NVIDIA driver is loaded"))


def _same(gpu: nvml.GpuAnswer, other: nvml.GpuAnswer) -> bool:
    if gpu.bus_id and other.bus_id:
        return pci_gpus.normalise(gpu.bus_id) == pci_gpus.normalise(other.bus_id)
    return gpu.index == other.index


def _completed(gpu: nvml.GpuAnswer, others: list[tuple[nvml.GpuAnswer, ...]]) -> nvml.GpuAnswer:
    """Fill in what the trusted source did not report from the others.

    A lost GPU stays without a name.
    """
    if "handle" in gpu.errors:
        return gpu
    values = msgspec.structs.asdict(gpu)
    for gpus in others:
        for other in gpus:
            if _same(gpu, other):
                values |= {
                    field: value
                    for field, value in msgspec.structs.asdict(other).items()
                    if values[field] is None
                }
    return nvml.GpuAnswer(**values)


def _gpu(
    answer: nvml.GpuAnswer,
    name: str,
    links: Mapping[str, Mapping[str, int]],
    ports: Mapping[str, Mapping[str, int]],
    memory_of_the_host: int | None,
) -> Gpu:
    bus_id = pci_gpus.normalise(answer.bus_id or "")
    integrated = is_integrated(name)
    return Gpu(
        id=str(answer.index),
        name=name,
        cc=answer.cc,
        memory_gb=_gigabytes(answer.memory or (memory_of_the_host if integrated else None)),
        bus_id=bus_id,
        mig=answer.mig,
        slices=tuple(_slice(answer.index, part) for part in answer.slices),
        ecc=answer.ecc,
        persistence=answer.persistence,
        link=_link(answer, links.get(bus_id or "", {}), ports.get(bus_id or "", {})),
        vgpu=is_vgpu(name) or answer.virtualization == _VGPU_MODE,
        integrated=integrated,
    )


def _gigabytes(count: int | None) -> float | None:
    return round(count / 2**30, 1) if count and 0 < count < 2**60 else None


def _slice(gpu: int, instance: nvml.NvmlSlice) -> MigSlice:
    profile = (instance.name or "").partition("MIG ")[2].strip()
    return MigSlice(
        id=f"{gpu}:{instance.index}", profile=profile or None, memory_gb=_gigabytes(instance.memory)
    )


def _link(
    answer: nvml.GpuAnswer, bus: Mapping[str, int], port: Mapping[str, int]
) -> PcieLink | None:
    width = answer.width or bus.get("width")
    generation = answer.generation or bus.get("generation")
    width_max, width_of_gpu = _maximum(
        width, answer.width_max, bus.get("width_max"), port.get("width_max")
    )
    generation_max, generation_of_gpu = _maximum(
        generation, answer.generation_max, bus.get("generation_max"), port.get("generation_max")
    )
    link = PcieLink(
        width=width,
        width_max=width_max,
        generation=generation,
        generation_max=generation_max,
        width_of_gpu=width_of_gpu,
        generation_of_gpu=generation_of_gpu,
    )
    return link if link != PcieLink() else None


def _maximum(
    now: int | None, driver: int | None, gpu: int | None, port: int | None
) -> tuple[int | None, int | None]:
    """Return the maximum of GPU and slot together, and that of the GPU if it is more.

    The driver tells that of both, the bus that of each.
    """
    # The emulated port of a virtual machine may claim less than the link has.
    limits = [most for most in (driver, gpu, port) if most and most >= (now or 0)]
    most = min(limits, default=None)
    return most, gpu if gpu and most and gpu > most else None


def warn(value: tuple[Gpu, ...], readings: Readings) -> list[str]:
    texts = []
    (first, believed), *others = _answers(readings) or [("the driver", ())]
    texts += [
        f"GPU {gpu.index} does not answer: {gpu.errors['handle']}"
        for gpu in believed
        if "handle" in gpu.errors
    ]
    if others and first == "NVML":
        for who, gpus in others:
            texts += _disagreement(first, believed, who, gpus)
    elif first in {"nvidia-smi", "/proc/driver/nvidia"}:
        texts.append(f"NVML does not answer, the GPUs are as {first} lists them")
    return texts + _unseen(value, readings)


def _disagreement(
    first: str, believed: tuple[nvml.GpuAnswer, ...], who: str, gpus: tuple[nvml.GpuAnswer, ...]
) -> list[str]:
    if len(believed) != len(gpus):
        return [f"{first} shows {len(believed)} GPUs, {who} shows {len(gpus)}"]
    return [
        f"{first} calls GPU {gpu.index} {gpu.name!r}, {who} {other.name!r}"
        for gpu in believed
        for other in gpus
        if _same(gpu, other) and gpu.name and other.name and gpu.name != other.name
    ]


def _unseen(value: tuple[Gpu, ...], readings: Readings) -> list[str]:
    """Return GPUs bound to the driver but not shown: lost, or withheld from a container."""
    if readings.optional(pci_gpus.SOURCE) is None:
        return []
    shown = {gpu.bus_id for gpu in value}
    return [
        f"the GPU at {gpu.bus_id} is bound to the nvidia driver and not shown by it"
        for gpu in pci_gpus.parse(readings)
        if gpu.driver == "nvidia" and gpu.bus_id not in shown and None not in shown
    ]


FACT: Fact[tuple[Gpu, ...]] = Fact(
    title="GPUs",
    sources=(
        nvml.SOURCE,
        *_nvidia_smi.SOURCES,
        kernel.PROC,
        kernel.LINKS,
        kernel.PORTS,
        kernel.BOARD,
        kernel.TEGRA,
        kernel.MEMORY,
        driver.MODULE,
        driver.PROC,
        pci_gpus.SOURCE,
    ),
    parse=parse,
    warn=warn,
    moving=("generation",),  # the link of an idle GPU drops to a lower generation
)
