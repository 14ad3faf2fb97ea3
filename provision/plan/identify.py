"""Naming GPUs: capability and memory from the catalogue where a host's description gives only a name or a PCI id."""

from __future__ import annotations

import re

import msgspec

from provision.catalog.rows import GpuModel, PciDevice
from provision.host.gpus import Gpu
from provision.host.pci_gpus import PciGpu

_BRANDS = frozenset({"nvidia", "tesla", "geforce", "graphics", "device", "gpu", "corporation"})


def words(name: str) -> frozenset[str]:
    """A GPU's name without brand and punctuation: "Tesla V100-SXM2-32GB" -> v100, sxm2, 32gb."""
    return frozenset(re.findall(r"[a-z0-9]+", name.lower())) - _BRANDS


def find(name: str, models: tuple[GpuModel, ...]) -> GpuModel | None:
    """The model whose name says most of what this name says; None where none fits."""
    have = words(name)
    best: GpuModel | None = None
    most = 0
    for model in models:
        for known in (model.name, *model.aliases):
            asked = words(known)
            if asked <= have and len(asked) > most:
                best, most = model, len(asked)
    return best


def completed(gpu: Gpu, models: tuple[GpuModel, ...]) -> Gpu:
    """The GPU with capability, memory and flavour filled in where its name tells them."""
    model = find(gpu.name, models)
    memory = gpu.memory_gb
    if memory is None:
        stated = re.search(r"(\d+) ?GB\b", gpu.name, re.IGNORECASE)
        memory = float(stated[1]) if stated else model.memory_gb if model else None
    return msgspec.structs.replace(gpu, cc=gpu.cc or (model.cc if model else None), memory_gb=memory)


def on_the_bus(device: PciGpu, table: tuple[PciDevice, ...]) -> PciDevice | None:
    """The narrowest row of the PCI table that holds a device id."""
    number = int(device.device_id.rpartition(":")[2], 16)
    rows = [row for row in table if int(row.first, 16) <= number <= int(row.last, 16)]
    return min(rows, key=lambda row: int(row.last, 16) - int(row.first, 16), default=None)
