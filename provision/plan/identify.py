"""Identification of GPUs: capability and memory from the catalogue, by name or PCI id."""

from __future__ import annotations

import re
from functools import cache

import msgspec

from provision.catalog.rows import GpuModel, PciDevice
from provision.host.gpus import Gpu
from provision.host.pci_gpus import PciGpu

_BRANDS = frozenset({"nvidia", "tesla", "geforce", "graphics", "device", "gpu", "corporation"})

# A name with one of these words that a known model lacks is another model, with other memory.
_VARIANTS = frozenset({"ti", "super", "laptop", "mobile", "max", "3e"})


# "GH200 480GB" names the memory of its processor, "GH200 144G HBM3e" that of the GPU.
_MEMORY_OF_GRACE = re.compile(r"(?<=GH200) (?:120|480)GB\b", re.IGNORECASE)


@cache  # every GPU of a host is compared with every name in the catalogue
def words(name: str) -> frozenset[str]:
    """Return the words of a GPU's name without its brand: v100, sxm2, 32gb for a Tesla."""
    return frozenset(re.findall(r"[a-z0-9]+", name.lower())) - _BRANDS


def find(name: str, models: tuple[GpuModel, ...]) -> GpuModel | None:
    """Return the model whose name shares most words with this name; None where no model fits."""
    have = words(name)
    best: GpuModel | None = None
    most = 0
    for model in models:
        for known in (model.name, *model.aliases):
            needed = words(known)
            if needed <= have and len(needed) > most:
                best, most = model, len(needed)
    return best


def _known_words(model: GpuModel) -> frozenset[str]:
    return frozenset(word for name in (model.name, *model.aliases) for word in words(name))


def completed(gpu: Gpu, models: tuple[GpuModel, ...]) -> Gpu:
    """Return the GPU with the capability and memory that its name implies."""
    model = find(gpu.name, models)
    stated_cc = gpu.cc if gpu.cc and re.fullmatch(r"\d{1,2}\.\d", gpu.cc, re.ASCII) else None
    memory = gpu.memory_gb
    if memory is None:
        # Some names have the memory in them: "A100-PCIE-40GB", and the profile "H100XM-40C".
        own_name = _MEMORY_OF_GRACE.sub("", gpu.name)
        stated = re.search(r"(?<!\d)(\d{1,3})(?: ?GB?\b|(?:C|CME|Q|A|B)$)", own_name, re.IGNORECASE)
        same = model is not None and not (_VARIANTS & (words(gpu.name) - _known_words(model)))
        memory = float(stated[1]) if stated else model.memory_gb if model and same else None
    return msgspec.structs.replace(
        gpu, cc=stated_cc or (model.cc if model else None), memory_gb=memory
    )


def pci_row(device: PciGpu, table: tuple[PciDevice, ...]) -> PciDevice | None:
    """Return the narrowest row of the PCI table that covers a device id."""
    if not re.fullmatch(r"[0-9a-f]{1,8}", device.device_id, re.IGNORECASE):
        return None  # a damaged recording
    number = int(device.device_id, 16)
    # A range of one chip may contain ids of single products.
    rows = [row for row in table if int(row.first, 16) <= number <= int(row.last, 16)]
    return min(rows, key=lambda row: int(row.last, 16) - int(row.first, 16), default=None)


def parts(gpu: Gpu) -> tuple[Gpu, ...]:
    """Return what vLLM sees of a GPU: the GPU, or each of its MIG slices as a GPU of its own."""
    # vLLM addresses a slice by its own id and never the GPU around it.
    if not (gpu.mig and gpu.slices):
        return (gpu,)
    return tuple(
        msgspec.structs.replace(
            gpu,
            id=part.id,
            name=f"{gpu.name} MIG {part.profile}" if part.profile else f"{gpu.name} MIG",
            memory_gb=part.memory_gb,
            slices=(),
        )
        for part in gpu.slices
    )
