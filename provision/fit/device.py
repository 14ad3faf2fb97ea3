"""The GPUs of a host as one device: their kind, how many, and the memory that CUDA reports."""

from __future__ import annotations

import re
from collections import Counter

from provision.catalog.rows import Catalogue, GpuModel
from provision.errors import IncompleteHost
from provision.fit._model import Device
from provision.host import gpus, memory
from provision.host._model import Host
from provision.host.gpus import Gpu
from provision.plan import identify

# A described memory that differs by more is another product, such as a modified card.
_SAME = 0.03
# What CUDA reports of the memory on the box, where nothing better is known.
_USUAL = 0.978
# GPUs of AMD report all of their memory.
_AMD = re.compile(r"\b(radeon|instinct|mi\d{3}x?|amd|rx \d{4})\b", re.IGNORECASE)


def of_host(host: Host, catalogue: Catalogue) -> tuple[Device, tuple[str, ...]]:
    """Return the device that a model is sized for, and what is worth saying about the choice.

    Of mixed GPUs it is the kind with most memory in all: vLLM divides a model over equal ones.
    """
    found = [part for gpu in host.known(gpus.FACT) or () for part in identify.parts(gpu)]
    if not found:
        return _cpu(host), ()
    kinds = Counter((gpu.name, gpu.memory_gb, gpu.cc) for gpu in found)
    devices = [
        _device(Gpu(id="0", name=name, memory_gb=memory_gb, cc=cc), count, catalogue)
        for (name, memory_gb, cc), count in kinds.items()
    ]
    best = max(devices, key=lambda device: device.total * device.count)
    if len(devices) == 1:
        return best, ()
    others = ", ".join(f"{d.count} x {d.name}" for d in devices if d is not best)
    return best, (f"mixed GPUs: sized for {best.count} x {best.name}, without {others}",)


def _device(gpu: Gpu, count: int, catalogue: Catalogue) -> Device:
    model = identify.find(gpu.name, catalogue.gpus)
    whole = identify.completed(gpu, catalogue.gpus)
    if whole.memory_gb is None:
        raise IncompleteHost(
            f"the memory of {gpu.name} is not known",
            hint=f'add it to the description: {{name: {gpu.name}, memory_gb: 24, cc: "8.9"}}',
        )
    total, basis = _total(gpu.name, whole.memory_gb, model)
    return Device(
        name=gpu.name,
        cc=whole.cc,
        count=count,
        total=total,
        nvlink=bool(model and model.nvlink_gbs and model.data_center),
        basis=basis,
    )


def _total(name: str, memory_gb: float, model: GpuModel | None) -> tuple[float, str]:
    """Return the GiB that CUDA reports, and the origin of the figure.

    A memory that the description or the name states outranks that of the catalogue.
    """
    if model is None or not model.memory_gb:
        if memory_gb != int(memory_gb):  # nobody prints a fraction on a box
            return memory_gb, f"{memory_gb:g} GiB, as stated"
        if _AMD.search(name):
            return memory_gb, f"{memory_gb:g} GiB, as stated: AMD's driver reports all of it"
        return memory_gb * _USUAL, "97.8 % of the stated memory: this GPU is not in the catalogue"
    reported = model.cuda_gib or model.memory_gb * _USUAL
    close = any(abs(memory_gb - known) <= _SAME * known for known in (model.memory_gb, reported))
    if close:
        origin = {"stated": "reported by CUDA", "recalled": "recalled, not read again,"}.get(
            model.cuda_basis or "", "97.8 % of the memory on the box"
        )
        return reported, f"{reported:.2f} GiB, {origin} for {model.name}"
    share = reported / model.memory_gb
    return memory_gb * share, f"{100 * share:.1f} % of the stated {memory_gb:g} GB"


def _cpu(host: Host) -> Device:
    known = host.known(memory.FACT)
    total = known.total_gb if known else None
    if total is None:
        raise IncompleteHost(
            "there is neither a GPU nor a known amount of memory on this host",
            hint="describe a GPU: gpus: [{name: H100, count: 1}]",
        )
    return Device(
        name="CPU", cc=None, count=1, total=total, basis="the memory of the host", cpu=True
    )
